//! One trace from the HTTP request through gRPC and the batch to the event row.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use candor_testkit::agent::{FakeAgent, Mood};
use candor_testkit::http::Client;
use candor_testkit::otlp::{CollectedSpan, OtlpReceiver};
use candor_testkit::platform::{Binaries, DataDir};
use candor_testkit::postgres::{self, Postgres};
use candor_testkit::wait::wait_for;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const ROOT: &str = "00f067aa0ba902b7";

/// The spans of the trace, and the batch's, which only links to it.
fn of_trace(spans: &[CollectedSpan]) -> (Vec<&CollectedSpan>, Vec<&CollectedSpan>) {
    let inside = spans.iter().filter(|span| span.trace_id == TRACE).collect();
    let linked = spans
        .iter()
        .filter(|span| span.links.iter().any(|(trace, _)| trace == TRACE))
        .collect();
    (inside, linked)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wedged_beat_is_one_trace_from_http_to_the_event_row() {
    let receiver = OtlpReceiver::start().await.unwrap();
    let endpoint = receiver.endpoint();
    let postgres = Postgres::start_new().await.unwrap();
    let url = postgres.create_database().await.unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    binaries.migrate(&url).unwrap();
    let export = [("CANDOR_OTLP_ENDPOINT", endpoint.as_str())];
    let registry = binaries.registry(&url, &export).await.unwrap();
    let gateway = binaries.gateway(registry.grpc(), &export).await.unwrap();
    let mut client = Client::new(gateway.http());
    let mut agent = FakeAgent::enrolled(&mut client, "traced").await.unwrap();
    agent.mood = Mood::Wedged {
        sample_error: "stuck".into(),
    };
    let beat = agent.next_beat().unwrap();
    let beat = beat.header("traceparent", format!("00-{TRACE}-{ROOT}-01"));
    assert_eq!(client.send(beat).await.unwrap().status, 200);

    let query = format!(
        "SELECT traceparent FROM structure_events
         WHERE workspace_id = '{}' AND event_type = 'WORKSPACE_DEGRADED'",
        agent.id
    );
    let on_row = postgres::text(&url, &query).await.unwrap();
    assert!(on_row.contains(TRACE), "the event row says {on_row:?}");
    let spans = wait_for("the spans", Duration::from_secs(20), || async {
        let spans = receiver.spans();
        let (inside, linked) = of_trace(&spans);
        (inside.len() >= 2 && !linked.is_empty()).then_some(spans)
    })
    .await;
    let spans = spans.unwrap_or_else(|gave_up| panic!("{gave_up}: {:#?}", receiver.spans()));
    let (inside, linked) = of_trace(&spans);
    let entry = inside.iter().find(|span| span.parent_span_id == ROOT);
    let entry = entry.expect("the HTTP request's span is a child of the caller's");
    let below = inside
        .iter()
        .filter(|span| span.parent_span_id == entry.span_id);
    assert!(
        below.count() > 0,
        "nothing below the HTTP span: {inside:#?}"
    );
    assert!(linked.iter().all(|batch| batch.span_id != entry.span_id));
}

/// sqlx asks before each statement whether it would be logged.
#[tokio::test(flavor = "multi_thread")]
async fn what_happens_between_statements_is_logged() {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let mut candor = binaries.up(&data, &[]).await.unwrap();
    let last = "migrated the database";
    let logged = wait_for(last, Duration::from_secs(20), || {
        let output = candor.process().output();
        async move { output.contains(last).then_some(output) }
    });
    let logged = logged.await.unwrap();
    let applied = logged.matches("applied migration").count();
    assert!(applied >= 7, "{logged}");
}
