//! Lists of a full table.

use std::path::Path;

use reqwest::Client;
use serde_json::Value;
use sqlx::Connection as _;
use uuid::Uuid;

use super::load::Measured;
use super::stage::{Candor, Stage};
use crate::Result;
use crate::beat::Workspace;
use crate::rate::{self, Plan};
use crate::wrk::{self, Load};

/// Connections of both loads.
const CONNECTIONS: u32 = 8;
/// Lists a second of the load that goals are about.
const PACE: u32 = 200;
/// Rows of a list.
const LIMIT: i64 = 50;
/// Seconds that are not counted.
const WARM_UP: u32 = 1;
/// A step over the workspaces that has no divisor in common with their usual number.
const STEP: usize = 617;

/// One kind of list.
struct Kind {
    /// As many as are answered.
    flood: &'static str,
    /// At the fixed pace.
    paced: &'static str,
    query: &'static str,
    activity_type: Option<&'static str>,
    conversation: Option<bool>,
}

const KINDS: [Kind; 3] = [
    Kind {
        flood: "lists, 8 connections",
        paced: "lists, 200/s",
        query: "limit=50",
        activity_type: None,
        conversation: None,
    },
    Kind {
        flood: "lists of a type, 8 connections",
        paced: "lists of a type, 200/s",
        query: "limit=50&type=agent_log",
        activity_type: Some("agent_log"),
        conversation: None,
    },
    Kind {
        flood: "conversations, 8 connections",
        paced: "conversations, 200/s",
        query: "limit=50&source=canvas",
        activity_type: None,
        conversation: Some(true),
    },
];

/// The loads that goals are about.
pub const PACED: [&str; 3] = [KINDS[0].paced, KINDS[1].paced, KINDS[2].paced];

/// What goals are about.
#[derive(Debug, Default)]
pub struct Lists {
    /// At the fixed pace.
    pub paced: Vec<Measured>,
}

/// Lists of all kinds.
pub async fn measure(
    stage: &Stage<'_>,
    candor: &Candor,
    folder: &Path,
    seconds: u32,
) -> Result<Lists> {
    let script = wrk::write(folder, "lists.lua", include_str!("lists.lua"))?;
    let mut lists = Lists::default();
    for kind in &KINDS {
        probe(stage, candor, kind).await?;
        let flood = flood(stage, candor, kind, &script, seconds).await?;
        println!("{flood}");
        let paced = paced(stage, candor, kind, seconds).await?;
        println!("{paced}");
        lists.paced.push(paced);
    }
    Ok(lists)
}

async fn flood(
    stage: &Stage<'_>,
    candor: &Candor,
    kind: &Kind,
    script: &Path,
    seconds: u32,
) -> Result<Measured> {
    let arguments = [stage.file.as_os_str(), kind.query.as_ref()];
    let load = |seconds| Load {
        script,
        url: format!("http://{}", candor.http),
        connections: CONNECTIONS,
        seconds,
    };
    load(WARM_UP).run(&arguments).await?;
    let watch = candor.watch()?;
    let loaded = load(seconds).run(&arguments).await?;
    Ok(Measured {
        what: kind.flood,
        unit: "lists/s",
        rate: loaded.rate,
        p50: loaded.p50,
        p99: loaded.p99,
        cpu: watch.end()?,
    })
}

async fn paced(stage: &Stage<'_>, candor: &Candor, kind: &Kind, seconds: u32) -> Result<Measured> {
    let plan = Plan {
        http: candor.http,
        rate: PACE,
        seconds,
        connections: CONNECTIONS as usize,
    };
    let (workspaces, query) = (stage.workspaces.clone(), kind.query);
    let watch = candor.watch()?;
    let rated = tokio::task::spawn_blocking(move || {
        rate::run(&plan, &|number| request(&plan, &workspaces, number, query))
    })
    .await??;
    Ok(Measured {
        what: kind.paced,
        unit: "lists/s",
        rate: rated.requests as f64 / f64::from(seconds),
        p50: rated.p50,
        p99: rated.p99,
        cpu: watch.end()?,
    })
}

fn request(plan: &Plan, workspaces: &[Workspace], number: usize, query: &str) -> String {
    let workspace = &workspaces[number * STEP % workspaces.len()];
    format!(
        "GET /workspaces/{}/activity?{query} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
        workspace.id, plan.http, workspace.token
    )
}

/// Checks that a list holds as many rows as it should, all of the kind that was
/// asked for: load generators only see the code.
async fn probe(stage: &Stage<'_>, candor: &Candor, kind: &Kind) -> Result<()> {
    let workspace = stage.first()?;
    let mut inside = stage.inside().await?;
    let there: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM public.activity_logs
         WHERE workspace_id = $1 AND ($2::text IS NULL OR activity_type = $2)
           AND ($3::boolean IS NULL OR conversation = $3)",
    )
    .bind(workspace.id.parse::<Uuid>()?)
    .bind(kind.activity_type)
    .bind(kind.conversation)
    .fetch_one(&mut inside)
    .await?;
    inside.close().await?;
    let path = format!("/workspaces/{}/activity?{}", workspace.id, kind.query);
    let client = Client::builder().no_proxy().build()?;
    let answer = client
        .get(format!("http://{}{path}", candor.http))
        .bearer_auth(&workspace.token)
        .send()
        .await?;
    let text = answer.error_for_status()?.text().await?;
    let rows: Vec<Value> = serde_json::from_str(&text)?;
    let wrong = |row: &&Value| {
        row["workspace_id"] != workspace.id.as_str()
            || kind
                .activity_type
                .is_some_and(|kind| row["activity_type"] != kind)
    };
    if rows.len() as i64 != there.min(LIMIT) || there == 0 {
        return Err(format!("{path} lists {} of {there} rows", rows.len()).into());
    }
    match rows.iter().find(wrong) {
        Some(row) => Err(format!("{path} lists {row}").into()),
        None => Ok(()),
    }
}
