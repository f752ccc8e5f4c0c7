//! Streams pass as they come, at the pace of their reader, and hold up nobody.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use candor_testkit::a2a_agent::{A2aAgent, Behaviour, Gate};
use candor_testkit::a2a_workspace::{A2aWorkspace, message, request};
use candor_testkit::http::{Client, Opened};
use candor_testkit::platform::{Binaries, DataDir, Platform};
use candor_testkit::postgres;
use candor_testkit::wait::wait_for;
use futures::StreamExt as _;
use serde_json::json;

const SOON: Duration = Duration::from_secs(20);
/// Streams at a time.
const MANY: usize = 500;
/// Of which so many begin together.
const OPENED_AT_ONCE: usize = 50;
/// What the platform may take for all of them, in KiB.
const MANY_KIB: u64 = 256 * 1024;
/// Events of a stream that no buffer on its way holds: about 60 MB.
const LONG: usize = 200_000;
/// How far an agent may run ahead of a reader, in bytes: what the sockets of two
/// connections hold, and a few chunks.
const AHEAD: usize = 24 * 1024 * 1024;

async fn up() -> (DataDir, Platform, Client) {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &[]).await.unwrap();
    let client = Client::new(candor.http());
    (data, candor, client)
}

/// Opens a stream by a method, and sees that it is one.
async fn open(client: &Client, workspace: &A2aWorkspace, method: &str, id: &str) -> Opened {
    let call = workspace.call(&request(method, id));
    let opened = client.open(call).await.unwrap();
    assert_eq!(opened.status, 200);
    assert_eq!(opened.headers["content-type"], "text/event-stream");
    opened
}

/// The same, by a client that comes again when it is told to: a burst meets a pool
/// whose connections are still being made.
async fn open_at_last(client: &Client, workspace: &A2aWorkspace, id: &str) -> Opened {
    let opened = wait_for("a place", SOON, || async {
        let call = workspace.call(&request("message/stream", id));
        let opened = client.open(call).await.unwrap();
        if opened.status == 503 {
            assert!(opened.headers.contains_key("retry-after"), "{opened:?}");
            return None;
        }
        Some(opened)
    });
    let opened = opened.await.unwrap();
    assert_eq!(opened.status, 200);
    opened
}

/// Memory of a process that is in RAM, in KiB.
fn resident(candor: &mut Platform) -> u64 {
    let path = format!("/proc/{}/status", candor.process().pid());
    let status = std::fs::read_to_string(path).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let words = line.unwrap().split_whitespace().nth(1);
    words.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_there_before_the_next_one_is_said() {
    let (_data, candor, mut client) = up().await;
    let workspace = A2aWorkspace::start(&mut client, "streams").await.unwrap();
    let gate = Gate::closed();
    workspace.agent.set(Behaviour::Stream(5, gate.clone()));
    let mut stream = open(&client, &workspace, "message/stream", "m").await;
    for n in 1..=5 {
        gate.raise();
        let read = stream.read_until("\n\n", SOON).await.unwrap();
        assert!(read.contains(&format!("\"event {n}\"")), "{read}");
        assert_eq!(read.matches("data: ").count(), 1, "{read}");
    }
    assert_eq!(stream.next(SOON).await.unwrap(), None);
    let url = candor.database_url();
    let row = wait_for("the row", SOON, || async {
        let row = "SELECT string_agg(status || ' ' || length(response_text), ',')
                   FROM activity_logs WHERE activity_type = 'a2a_receive'";
        let row = postgres::text(&url, row).await.ok()?;
        (!row.is_empty()).then_some(row)
    });
    assert_eq!(row.await.unwrap(), format!("ok {}", stream.bytes_read()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_runs_ahead_of_its_reader_no_further_than_buffers_reach() {
    let (_data, mut candor, mut client) = up().await;
    let workspace = A2aWorkspace::start(&mut client, "fast").await.unwrap();
    let other = A2aWorkspace::start(&mut client, "other").await.unwrap();
    workspace.agent.set(Behaviour::stream(LONG));
    let mut stream = open(&client, &workspace, "message/stream", "m").await;
    stream.next(SOON).await.unwrap();
    // The agent writes until nothing takes any more.
    let mut written = 0;
    let mut ticks = 0;
    while ticks < 20 {
        other.send(&mut client, "meanwhile").await.unwrap();
        let now = workspace.agent.counts().written;
        ticks = if now == written { ticks + 1 } else { 0 };
        written = now;
    }
    let ahead = written - stream.bytes_read();
    let memory = resident(&mut candor);
    println!("{ahead} bytes ahead of the reader, {memory} KiB resident");
    assert!(ahead < AHEAD, "{ahead}");
    // The rest is there for who reads on.
    while stream.next(SOON).await.unwrap().is_some() {}
    assert_eq!(stream.bytes_read(), workspace.agent.counts().written);
    assert!(stream.bytes_read() > 2 * AHEAD);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_ends_what_only_reads_and_no_task() {
    let (_data, candor, mut client) = up().await;
    let workspace = A2aWorkspace::start(&mut client, "left").await.unwrap();
    let agent = &workspace.agent;
    let gate = Gate::closed();
    agent.set(Behaviour::Stream(LONG, gate.clone()));
    for method in ["tasks/resubscribe", "message/stream"] {
        gate.raise();
        let mut stream = open(&client, &workspace, method, method).await;
        stream.read_until("event 1", SOON).await.unwrap();
        drop(stream);
        if method == "tasks/resubscribe" {
            let left = |counts: &candor_testkit::a2a_agent::Counts| counts.abandoned == 1;
            agent.wait("the end of what reads", left).await.unwrap();
        }
    }
    // The task goes on, and its stream is read to its end.
    gate.open();
    let ended = agent.wait("its end", |counts| counts.answered == 1 && counts.open == 0);
    let counts = ended.await.unwrap();
    assert_eq!(counts.abandoned, 1);
    let url = candor.database_url();
    let told = wait_for("the rows", SOON, || async {
        let rows = "SELECT string_agg(method || ' ' || status, ',' ORDER BY method)
                    FROM activity_logs WHERE phase = 'final' HAVING count(*) = 2";
        let rows = postgres::text(&url, rows).await;
        rows.ok()
    });
    let told = told.await.unwrap();
    assert!(
        told.starts_with("message/stream ok,tasks/resubscribe"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_streams_hold_up_nobody_and_take_little() {
    let (_data, mut candor, mut client) = up().await;
    let workspace = A2aWorkspace::start(&mut client, "popular").await.unwrap();
    let other = A2aWorkspace::start(&mut client, "other").await.unwrap();
    let gate = Gate::closed();
    workspace.agent.set(Behaviour::Stream(2, gate.clone()));
    let before = resident(&mut candor);
    gate.raise();
    let ids: Vec<String> = (0..MANY).map(|n| format!("m-{n}")).collect();
    let opening = ids.iter().map(|id| async {
        let mut stream = open_at_last(&client, &workspace, id).await;
        stream.read_until("event 1", SOON).await.unwrap();
        stream
    });
    let opening = futures::stream::iter(opening).buffer_unordered(OPENED_AT_ONCE);
    let streams: Vec<Opened> = opening.collect().await;
    assert_eq!(workspace.agent.counts().open, MANY);
    for n in 0..20 {
        let answer = other.send(&mut client, &format!("o-{n}")).await.unwrap();
        assert_eq!(answer.status, 200);
    }
    let after = resident(&mut candor);
    println!("{MANY} streams: {before} KiB resident before, {after} KiB with them");
    assert!(after < MANY_KIB, "{after} KiB");
    gate.open();
    let reading = streams.into_iter().map(|mut stream| async move {
        stream.read_until("event 2", SOON).await.unwrap();
        assert_eq!(stream.next(SOON).await.unwrap(), None);
    });
    futures::future::join_all(reading).await;
    let closed = |counts: &candor_testkit::a2a_agent::Counts| counts.open == 0;
    workspace
        .agent
        .wait("closed connections", closed)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_one_thread_is_never_held() {
    let (_data, _candor, mut client) = up().await;
    let agent = A2aAgent::single_threaded().await.unwrap();
    let members = json!({"name": "one thread"});
    let workspace = A2aWorkspace::with(&mut client, agent, &members)
        .await
        .unwrap();
    let closed = |counts: &candor_testkit::a2a_agent::Counts| counts.open == 0;
    for n in 0..5 {
        let answer = workspace
            .send(&mut client, &format!("m-{n}"))
            .await
            .unwrap();
        assert_eq!(answer.status, 200);
        let counts = workspace.agent.wait("a closed connection", closed).await;
        assert_eq!(counts.unwrap().connections, n + 1);
    }
    // Many at a time take turns.
    let calls = (0..20).map(|n| {
        let call = workspace.call(&message(&format!("at once {n}")));
        let mut client = Client::new(client.addr());
        async move { client.send(call).await.unwrap().status }
    });
    let statuses = futures::future::join_all(calls).await;
    assert_eq!(statuses, [200; 20]);
    workspace
        .agent
        .wait("closed connections", closed)
        .await
        .unwrap();
}
