//! kill -9 of the activity log and of the gateway while 1,000 rows a second
//! arrive: every acknowledged row is there once, and a socket that resumes on the
//! restarted gateway gets every stored event once.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use candor_testkit::agent::FakeAgent;
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::{Binaries, Platform};
use candor_testkit::postgres::{self, Postgres};
use candor_testkit::wait::wait_until;
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

const WRITERS: u64 = 20;
/// Each writer sends so many rows a second: 1,000 altogether.
const EACH_A_SECOND: u64 = 50;
const MINUTE: Duration = Duration::from_secs(60);

/// What the writers know.
#[derive(Default)]
struct Tally {
    acknowledged: AtomicU64,
    stop: AtomicBool,
}

/// Sends rows with numbers of its own at a steady pace, and keeps those that were
/// acknowledged. A row without an answer is never sent again.
async fn writer(
    gateway: SocketAddr,
    workspace: String,
    n: u64,
    tally: Arc<Tally>,
) -> (Vec<String>, u64) {
    let mut client = Client::new(gateway).with_deadline(Duration::from_secs(10));
    let mut pace = tokio::time::interval(Duration::from_millis(1000 / EACH_A_SECOND));
    let (mut kept, mut sent) = (Vec::new(), 0);
    while !tally.stop.load(Ordering::SeqCst) {
        pace.tick().await;
        let name = format!("{n}.{sent}");
        sent += 1;
        let body = json!({"activity_type": "agent_log", "summary": name});
        let target = format!("/workspaces/{workspace}/activity");
        match client.send(Call::post(target, &body)).await {
            Ok(answer) if answer.status == 200 => {
                tally.acknowledged.fetch_add(1, Ordering::SeqCst);
                kept.push(name);
            }
            Ok(answer) => assert_eq!(answer.status, 503, "{}", answer.text()),
            Err(_) => {}
        }
    }
    (kept, sent)
}

struct World {
    binaries: Binaries,
    url: String,
    registry: Platform,
    activity_log: Platform,
    gateway: Platform,
}

impl World {
    async fn start(binaries: Binaries, url: &str) -> Self {
        let registry = binaries.registry(url, &[]).await.unwrap();
        let log = binaries.activity_log(url, registry.grpc(), &[]).await;
        let activity_log = log.unwrap();
        let gateway = gateway(&binaries, &registry, &activity_log, "127.0.0.1:0").await;
        Self {
            binaries,
            url: url.to_owned(),
            registry,
            activity_log,
            gateway,
        }
    }

    /// Kills the activity log, and starts another at the same address.
    async fn replace_activity_log(&mut self) {
        let address = self.activity_log.grpc().to_string();
        self.activity_log.process().kill9();
        let registry = self.registry.grpc();
        let started = self
            .binaries
            .activity_log_at(&address, &self.url, registry, &[]);
        self.activity_log = started.await.unwrap();
    }

    /// Kills the gateway, and starts another at the same address.
    async fn replace_gateway(&mut self) {
        let address = self.gateway.http().to_string();
        self.gateway.process().kill9();
        let started = gateway(&self.binaries, &self.registry, &self.activity_log, &address);
        self.gateway = started.await;
    }
}

async fn gateway(
    binaries: &Binaries,
    registry: &Platform,
    activity_log: &Platform,
    address: &str,
) -> Platform {
    let log = format!("http://{}", activity_log.grpc());
    let env = [("CANDOR_ACTIVITY_LOG", log.as_str())];
    let started = binaries.gateway_at(address, registry.grpc(), &env).await;
    started.unwrap()
}

/// Follows a socket and resumes it whenever it ends; every stored event it got.
async fn follow(gateway: SocketAddr, stop_at: Arc<AtomicI64>) -> Vec<i64> {
    let mut seen: Vec<i64> = Vec::new();
    let last = |seen: &[i64]| seen.last().copied().unwrap_or(0);
    while last(&seen) < stop_at.load(Ordering::SeqCst) {
        let url = format!("ws://{gateway}/ws?since_seq={}", last(&seen));
        let opened = tokio::time::timeout(Duration::from_secs(5), connect_async(url)).await;
        let Ok(Ok((mut socket, _))) = opened else {
            tokio::task::yield_now().await;
            continue;
        };
        while last(&seen) < stop_at.load(Ordering::SeqCst) {
            let waited = tokio::time::timeout(Duration::from_secs(1), socket.next()).await;
            match waited {
                Ok(Some(Ok(Message::Text(text)))) => {
                    let event: Value = serde_json::from_str(&text).unwrap();
                    seen.extend(event["seq"].as_i64());
                }
                Ok(Some(Ok(_))) | Err(_) => {}
                Ok(None | Some(Err(_))) => break,
            }
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_rows_and_stored_events_survive_kills_exactly_once() {
    let postgres = Postgres::start_new().await.unwrap();
    let url = postgres.create_database().await.unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    binaries.migrate(&url).unwrap();
    let mut world = World::start(binaries, &url).await;
    let http = world.gateway.http();
    let mut client = Client::new(http);
    let workspace = FakeAgent::create(&mut client, "busy").await.unwrap().id;

    let newest = Arc::new(AtomicI64::new(i64::MAX));
    let following = tokio::spawn(follow(http, Arc::clone(&newest)));
    let tally = Arc::new(Tally::default());
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..WRITERS {
        writers.spawn(writer(http, workspace.clone(), n, Arc::clone(&tally)));
    }
    for round in 0..3 {
        more_rows(&tally).await;
        events(&url, &workspace, round).await;
        world.replace_activity_log().await;
        more_rows(&tally).await;
        events(&url, &workspace, round).await;
        world.replace_gateway().await;
        more_rows(&tally).await;
    }
    tally.stop.store(true, Ordering::SeqCst);
    let mut acknowledged = Vec::new();
    let mut sent = 0;
    while let Some(done) = writers.join_next().await {
        let (kept, tried) = done.unwrap();
        acknowledged.extend(kept);
        sent += tried;
    }

    let stored = postgres::text(
        &url,
        "SELECT string_agg(summary, ',' ORDER BY summary) FROM activity_logs",
    )
    .await
    .unwrap();
    let stored: Vec<&str> = stored.split(',').collect();
    let distinct: std::collections::BTreeSet<&str> = stored.iter().copied().collect();
    assert_eq!(distinct.len(), stored.len(), "a row is there twice");
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|name| !distinct.contains(name.as_str()))
        .collect();
    assert!(
        lost.is_empty(),
        "{} of {} lost",
        lost.len(),
        acknowledged.len()
    );
    assert!(stored.len() as u64 <= sent);

    let last = "SELECT max(seq) FROM structure_events";
    let drawn = postgres::count(&url, last).await.unwrap();
    newest.store(drawn, Ordering::SeqCst);
    let seen = tokio::time::timeout(MINUTE, following)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(seen, (1..=drawn).collect::<Vec<_>>());
    assert!(drawn > 200, "{drawn}");
}

/// Waits for another thousand acknowledged rows.
async fn more_rows(tally: &Tally) {
    let before = tally.acknowledged.load(Ordering::SeqCst);
    let enough = || tally.acknowledged.load(Ordering::SeqCst) >= before + 1_000;
    assert!(wait_until(MINUTE, enough).await, "rows stopped at {before}");
}

/// Forty stored events.
async fn events(url: &str, workspace: &str, round: i32) {
    let statement = format!(
        "INSERT INTO structure_events (event_type, workspace_id, payload)
         SELECT 'CRON_EXECUTED', '{workspace}', jsonb_build_object('round', {round}, 'n', n)
         FROM generate_series(1, 40) n"
    );
    postgres::execute(url, &statement).await.unwrap();
}
