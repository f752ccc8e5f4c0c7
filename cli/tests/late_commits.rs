//! Writers that pause inside their transactions, and readers that follow cursors
//! meanwhile: nothing is skipped, nothing comes twice.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use candor_proto::activity::v1 as pb;
use candor_proto::activity::v1::activity_log_service_client::ActivityLogServiceClient;
use candor_proto::registry::v1::WatchEventsRequest;
use candor_proto::registry::v1::registry_service_client::RegistryServiceClient;
use candor_testkit::agent::FakeAgent;
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::{Binaries, DataDir, Platform};
use candor_testkit::postgres;
use serde_json::json;

const WRITERS: usize = 16;
/// Transactions of each writer; each writes an event and a row.
const EACH: usize = 25;
/// Rows that come over the service meanwhile.
const REPORTED: usize = 200;
const LONG: Duration = Duration::from_secs(60);

/// Writes as a foreign program would: a row and an event, a pause of up to 60 ms,
/// the commit. One transaction in eight is given up.
async fn writer(url: String, workspace: String, n: usize, committed: Arc<AtomicUsize>) {
    for turn in 0..EACH {
        let name = format!("{n}.{turn}");
        let end = if turn % 8 == 7 { "ROLLBACK" } else { "COMMIT" };
        let statements = format!(
            "BEGIN;
             INSERT INTO activity_logs (workspace_id, activity_type, summary)
             VALUES ('{workspace}', 'agent_log', '{name}');
             INSERT INTO structure_events (event_type, workspace_id, payload)
             VALUES ('CRON_EXECUTED', '{workspace}', '{{\"name\": \"{name}\"}}');
             SELECT pg_sleep(random() * 0.06);
             {end}"
        );
        postgres::execute(&url, &statements).await.unwrap();
        if end == "COMMIT" {
            committed.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Follows the log by `since_id`, page by page.
async fn tail_rows(candor: &Platform, workspace: &str, wanted: usize) -> Vec<String> {
    let mut client = ActivityLogServiceClient::new(candor.channel().await.unwrap());
    let mut seen: Vec<pb::Activity> = Vec::new();
    while seen.len() < wanted {
        let request = pb::ListRequest {
            workspace_id: workspace.to_owned(),
            since_id: seen.last().map(|row| row.id.clone()),
            oldest_first: true,
            limit: 7,
            ..pb::ListRequest::default()
        };
        let listed = client.list(request).await.unwrap().into_inner();
        seen.extend(listed.activities);
    }
    seen.into_iter().filter_map(|row| row.summary).collect()
}

/// Follows the events by `seq`, on streams that end after a few of them.
async fn tail_events(candor: &Platform, workspace: &str, wanted: usize) -> Vec<(i64, String)> {
    let mut client = RegistryServiceClient::new(candor.channel().await.unwrap());
    let mut seen: Vec<(i64, String)> = Vec::new();
    while seen.len() < wanted {
        let request = WatchEventsRequest {
            since_seq: Some(seen.last().map_or(0, |(seq, _)| *seq)),
            workspace_id: Some(workspace.to_owned()),
            include_transient: false,
        };
        let mut events = client.watch_events(request).await.unwrap().into_inner();
        for _ in 0..11.min(wanted - seen.len()) {
            let event = events.message().await.unwrap().unwrap();
            seen.push((event.seq, event.payload));
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_seq_and_since_id_skip_and_repeat_nothing() {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    let workspace = FakeAgent::create(&mut client, "late").await.unwrap().id;
    let url = candor.database_url();
    let committed = Arc::new(AtomicUsize::new(0));
    let committing = WRITERS * (EACH - EACH / 8);
    // Creation left two events.
    let (rows, events) = (committing + REPORTED, committing + 2);

    let mut writers = tokio::task::JoinSet::new();
    for n in 0..WRITERS {
        let (url, id) = (url.clone(), workspace.clone());
        writers.spawn(writer(url, id, n, Arc::clone(&committed)));
    }
    let reporting = async {
        for n in 0..REPORTED {
            let body = json!({"activity_type": "agent_log", "summary": format!("http {n}")});
            let target = format!("/workspaces/{workspace}/activity");
            let answer = client.send(Call::post(target, &body)).await.unwrap();
            assert_eq!(answer.status, 200);
        }
    };
    let reading = async {
        tokio::join!(
            reporting,
            tail_rows(&candor, &workspace, rows),
            tail_events(&candor, &workspace, events),
        )
    };
    let (_, seen_rows, seen_events) = tokio::time::timeout(LONG, reading).await.unwrap();
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    assert_eq!(committed.load(Ordering::SeqCst), committing);

    let distinct: BTreeSet<&String> = seen_rows.iter().collect();
    assert_eq!((seen_rows.len(), distinct.len()), (rows, rows));
    let numbers: Vec<i64> = seen_events.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(numbers, (1..=events as i64).collect::<Vec<_>>());
    let distinct: BTreeSet<&String> = seen_events.iter().map(|(_, payload)| payload).collect();
    assert_eq!(distinct.len(), events);
    // What was followed is what is there, in the order of the list.
    let mut newest_first = "SELECT string_agg(summary, ',' ORDER BY created_at, seq) \
        FROM activity_logs WHERE seq > 0"
        .to_owned();
    newest_first.push_str(&format!(" AND workspace_id = '{workspace}'"));
    let stored = postgres::text(&url, &newest_first).await.unwrap();
    assert_eq!(seen_rows.join(","), stored);
}
