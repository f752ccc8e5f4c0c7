//! Bodies come back byte for byte, whatever they hold; texts must be texts.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use candor_proto::activity::v1 as pb;
use candor_proto::activity::v1::activity_log_service_client::ActivityLogServiceClient;
use candor_testkit::agent::FakeAgent;
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::{Binaries, DataDir, Platform};
use candor_testkit::postgres;
use http::Method;
use serde_json::{Value, json};

async fn up(data: &DataDir) -> (Platform, Client, String) {
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    let id = FakeAgent::create(&mut client, "bodies").await.unwrap().id;
    (candor, client, id)
}

async fn report(client: &mut Client, id: &str, body: &[u8]) -> (u16, String) {
    let call = Call::new(Method::POST, format!("/workspaces/{id}/activity")).body(body.to_vec());
    let answer = client.send(call).await.unwrap();
    (answer.status, answer.text())
}

async fn listed(candor: &Platform, id: &str) -> Vec<pb::Activity> {
    let mut rows = ActivityLogServiceClient::new(candor.channel().await.unwrap());
    let request = pb::ListRequest {
        workspace_id: id.to_owned(),
        oldest_first: true,
        ..pb::ListRequest::default()
    };
    rows.list(request).await.unwrap().into_inner().activities
}

#[tokio::test(flavor = "multi_thread")]
async fn every_byte_of_a_body_survives() {
    let data = DataDir::new().unwrap();
    let (candor, mut client, id) = up(&data).await;
    let bodies: [&[u8]; 4] = [
        br#"{"n": 12345678901234567890123, "f":1000.0,  "b":1, "a":2}"#,
        br#"{"nul": "\u0000", "lone": "\ud800", "html": "<&>"}"#,
        b"{\"latin1\": \"caf\xe9\", \"x\": \"\xff\xfe\"}",
        br#""a text""#,
    ];
    for body in bodies {
        let mut sent = br#"{"activity_type":"agent_log","request_body": "#.to_vec();
        sent.extend_from_slice(body);
        sent.extend_from_slice(b" }");
        assert_eq!(report(&mut client, &id, &sent).await.0, 200);
    }
    let rows = listed(&candor, &id).await;
    let kept: Vec<_> = rows
        .iter()
        .map(|row| row.request_body.as_ref().unwrap().content.to_vec())
        .collect();
    assert_eq!(kept, bodies);
    // Legacy readers get JSON, in which a byte of another encoding has no place.
    let target = format!("/workspaces/{id}/activity?limit=4");
    let answer = client.send(Call::get(target)).await.unwrap();
    let text = answer.text();
    assert!(text.contains("12345678901234567890123"), "{text}");
    assert!(text.contains("1000.0"), "{text}");
    let shown = answer.json();
    assert_eq!(shown[1]["request_body"]["latin1"], "caf\u{fffd}");
    assert_eq!(shown[0]["request_body"], "a text");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_shown_by_its_head() {
    let data = DataDir::new().unwrap();
    let (candor, mut client, id) = up(&data).await;
    let mut rows = ActivityLogServiceClient::new(candor.channel().await.unwrap());
    for length in [1024 * 1024, 1024 * 1024 + 1] {
        let record = pb::RecordRequest {
            workspace_id: id.clone(),
            activity_type: "agent_log".to_owned(),
            response_body: Some(pb::Body {
                content: "x".repeat(length).into(),
                ..pb::Body::default()
            }),
            ..pb::RecordRequest::default()
        };
        rows.record(record).await.unwrap();
    }
    // Without a credential, on an open listener, the workspace speaks.
    let said = listed(&candor, &id).await.remove(0).source.unwrap();
    assert_eq!(
        (said.kind(), said.auth.as_str()),
        (pb::SourceKind::Workspace, "claimed")
    );
    let target = format!("/workspaces/{id}/activity");
    let shown = client.send(Call::get(target)).await.unwrap().json();
    let cut = &shown[0]["response_body"];
    assert_eq!(cut["truncated"], true);
    assert_eq!(cut["bytes"], 1024 * 1024 + 1);
    assert_eq!(cut["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(cut["head"].as_str().unwrap().len(), 64 * 1024);
    assert_eq!(
        shown[1]["response_body"].as_str().unwrap().len(),
        1024 * 1024
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_text_cannot_hold_is_named_and_leaves_nothing() {
    let data = DataDir::new().unwrap();
    let (candor, mut client, id) = up(&data).await;
    for field in ["summary", "method", "status", "error_detail"] {
        for value in [&b"\"\\u0000\""[..], b"\"\xff\""] {
            let mut sent = format!(r#"{{"activity_type":"agent_log","{field}":"#).into_bytes();
            sent.extend_from_slice(value);
            sent.push(b'}');
            let (status, text) = report(&mut client, &id, &sent).await;
            assert_eq!(status, 400, "{field}");
            assert!(text.contains(field), "{text}");
        }
    }
    let (status, text) = report(
        &mut client,
        &id,
        br#"{"activity_type":"agent_log","duration_ms":3000000000}"#,
    )
    .await;
    assert_eq!(
        (status, text.contains("duration_ms")),
        (400, true),
        "{text}"
    );
    let url = candor.database_url();
    let rows = postgres::count(&url, "SELECT count(*) FROM activity_logs").await;
    assert_eq!(rows.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_large_bodies_arrives_whole() {
    const ROWS: usize = 12;
    let data = DataDir::new().unwrap();
    let (_candor, mut client, id) = up(&data).await;
    let large = "x".repeat(900 * 1024);
    for n in 0..ROWS {
        let body = json!({"activity_type": "agent_log", "summary": n.to_string(),
                          "response_body": large});
        let target = format!("/workspaces/{id}/activity");
        let answer = client.send(Call::post(target, &body)).await.unwrap();
        assert_eq!(answer.status, 200);
    }
    for (limit, wanted) in [(10, 10), (500, ROWS)] {
        let target = format!("/workspaces/{id}/activity?limit={limit}");
        let rows = client.send(Call::get(target)).await.unwrap().json();
        let rows = rows.as_array().unwrap();
        assert_eq!(rows.len(), wanted);
        let order: Vec<&str> = rows
            .iter()
            .filter_map(|row| row["summary"].as_str())
            .collect();
        let newest: Vec<String> = (0..ROWS)
            .rev()
            .take(wanted)
            .map(|n| n.to_string())
            .collect();
        assert_eq!(order, newest);
        assert!(
            rows.iter()
                .all(|row| row["response_body"] == large.as_str())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_finds_rows_by_their_bodies_and_memories() {
    let data = DataDir::new().unwrap();
    let (candor, mut client, id) = up(&data).await;
    let row = json!({"activity_type": "agent_log", "summary": "alpha",
                     "request_body": {"k": "gamma"}});
    let target = format!("/workspaces/{id}/activity");
    client.send(Call::post(target, &row)).await.unwrap();
    let memory = format!(
        "INSERT INTO agent_memories (workspace_id, content, scope) \
         VALUES ('{id}', 'alpha memory', 'LOCAL')"
    );
    postgres::execute(&candor.database_url(), &memory)
        .await
        .unwrap();
    let mut found = async |query: &str| -> Vec<Value> {
        let call =
            Call::get(format!("/workspaces/{id}/session-search{query}")).header("x-none", "1");
        let found = client.send(call).await.unwrap().json();
        found.as_array().cloned().unwrap()
    };
    let all = found("").await;
    assert_eq!(all.len(), 2);
    assert_eq!(all[0]["kind"], "memory");
    assert_eq!(all[0]["content"], "alpha memory");
    assert_eq!(all[0]["label"], "LOCAL");
    assert_eq!(found("?q=GAMMA").await[0]["label"], "agent_log");
    assert_eq!(found("?q=local").await[0]["kind"], "memory");
    assert_eq!(found("?q=alpha&limit=1").await.len(), 1);
    assert_eq!(found("?q=nothing").await, [Value::Null; 0]);
    let bad = format!("/workspaces/{id}/session-search?q=%00");
    let answer = Client::new(candor.http())
        .with_deadline(Duration::from_secs(5))
        .send(Call::get(bad))
        .await
        .unwrap();
    assert_eq!(answer.status, 400);
}
