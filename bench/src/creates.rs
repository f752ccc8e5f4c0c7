//! Many workspaces created at once: how long until the instance of each is online.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::future::{join_all, try_join_all};
use nix::sys::signal::Signal;
use reqwest::{Client, Response};
use serde_json::{Value, json};

use crate::Result;
use crate::program::Programs;
use crate::run::open;
use crate::startup::DataDir;
use crate::statistics::{millis, percentile};
use crate::targets::up;

/// Between two looks at the list: the grain of what is measured.
const POLL: Duration = Duration::from_millis(20);
/// Longest wait for an answer; a removal waits until its instance has ended.
const ANSWER: Duration = Duration::from_secs(45);
/// What ends the wait for one workspace, good or bad.
const ENDS: [&str; 3] = ["online", "degraded", "failed"];

/// What to create, and where.
#[derive(Debug, clap::Args)]
pub struct CreatesArgs {
    /// A running platform; without one, a standalone is started, and is gone afterwards.
    #[arg(long)]
    http: Option<SocketAddr>,
    /// How many are created at once.
    #[arg(long, default_value_t = 50)]
    workspaces: usize,
    /// What they run.
    #[arg(long, default_value = "candor-echo")]
    runtime: String,
    /// Their tier.
    #[arg(long, default_value_t = 2)]
    tier: u8,
    /// Seconds until all must be online.
    #[arg(long, default_value_t = 120)]
    within: u64,
    /// The admin token, where the listener is enforced.
    #[arg(long, env = "ADMIN_TOKEN", hide_env_values = true, default_value = "")]
    admin_token: String,
    /// Leave the folder with the programs' logs.
    #[arg(long)]
    keep: bool,
}

/// Measures on the platform that is named, or on one that is started for it.
pub async fn run(args: CreatesArgs) -> Result<()> {
    if let Some(http) = args.http {
        return Creates::new(http, &args)?.measure().await;
    }
    let (folder, programs) = open(args.keep)?;
    let data = DataDir::at(folder.path().join("data"));
    standalone(&args, &programs, &data).await
}

async fn standalone(args: &CreatesArgs, programs: &Programs, data: &DataDir) -> Result<()> {
    let mut candor = programs.start("candor", up(programs, data.path())).await?;
    let measured = match candor.address("http") {
        Ok(http) => Creates::new(http, args)?.measure().await,
        Err(error) => Err(error),
    };
    let ended = candor.stop(Signal::SIGINT);
    measured.map_err(|error| programs.failure("candor", &error.to_string()))?;
    ended.map(drop)
}

/// One measurement.
struct Creates<'a> {
    client: Client,
    base: String,
    args: &'a CreatesArgs,
}

impl<'a> Creates<'a> {
    fn new(http: SocketAddr, args: &'a CreatesArgs) -> Result<Self> {
        let client = Client::builder().no_proxy().timeout(ANSWER).build()?;
        let base = format!("http://{http}/workspaces");
        Ok(Self { client, base, args })
    }

    /// Creates, waits, prints, and takes away what it made, whatever came of it.
    async fn measure(&self) -> Result<()> {
        let began = Instant::now();
        let created = join_all((0..self.args.workspaces).map(|number| self.create(number))).await;
        let accepted = began.elapsed();
        let ids: Vec<&String> = created.iter().flatten().collect();
        let outcome = self.online(began, &ids).await;
        let removed = try_join_all(ids.iter().map(|id| self.remove(id))).await;
        if let Some(refused) = created.iter().find_map(|one| one.as_ref().err()) {
            return Err(format!("not created: {refused}").into());
        }
        let mut took = outcome?;
        removed?;
        took.sort_unstable();
        let of = |percent| millis(percentile(&took, percent));
        println!(
            "{} workspaces of {} at once: all accepted after {:.0} ms; online p50 {:.0} ms, \
             p95 {:.0} ms, all after {:.0} ms",
            took.len(),
            self.args.runtime,
            millis(accepted),
            of(50),
            of(95),
            of(100)
        );
        Ok(())
    }

    async fn create(&self, number: usize) -> Result<String> {
        let new = json!({
            "name": format!("bench-create-{number}"),
            "runtime": self.args.runtime,
            "tier": self.args.tier,
        });
        let answer = self.authorized(self.client.post(&self.base)).json(&new);
        let created = json_of(answer.send().await?).await?;
        match created["id"].as_str() {
            Some(id) => Ok(id.to_owned()),
            None => Err(format!("no id in {created}").into()),
        }
    }

    /// How long each took until it was online, by a look at all of them now and then.
    async fn online(&self, began: Instant, ids: &[&String]) -> Result<Vec<Duration>> {
        let within = Duration::from_secs(self.args.within);
        let mut took: BTreeMap<&str, Duration> = BTreeMap::new();
        while took.len() < ids.len() {
            let list = self.authorized(self.client.get(&self.base)).send().await?;
            let (list, now) = (json_of(list).await?, began.elapsed());
            for workspace in list.as_array().into_iter().flatten() {
                let (id, status) = (&workspace["id"], &workspace["status"]);
                let Some(id) = ids.iter().find(|known| *id == known.as_str()) else {
                    continue;
                };
                if !ENDS.iter().any(|end| status == end) {
                    continue;
                }
                if status != "online" {
                    return Err(format!("not online: {workspace}").into());
                }
                took.entry(id.as_str()).or_insert(now);
            }
            if took.len() < ids.len() && now > within {
                let missing = ids.len() - took.len();
                return Err(format!("{missing} of {} not online in {within:?}", ids.len()).into());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(took.into_values().collect())
    }

    /// With everything that it left: its instance ends first.
    async fn remove(&self, id: &str) -> Result<()> {
        let url = format!("{}/{id}?confirm=true&purge=true", self.base);
        json_of(self.authorized(self.client.delete(url)).send().await?)
            .await
            .map(drop)
    }

    fn authorized(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match self.args.admin_token.as_str() {
            "" => request,
            token => request.bearer_auth(token),
        }
    }
}

async fn json_of(response: Response) -> Result<Value> {
    let (url, status) = (response.url().to_string(), response.status());
    let text = response.text().await?;
    if !status.is_success() {
        return Err(format!("{url} answers {status}: {text}").into());
    }
    Ok(serde_json::from_str(&text)?)
}
