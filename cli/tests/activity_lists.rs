//! Lists of activity rows by their filters and cursors, as legacy clients ask.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use candor_proto::activity::v1 as pb;
use candor_proto::activity::v1::activity_log_service_client::ActivityLogServiceClient;
use candor_testkit::agent::{FakeAgent, with_bearer};
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::{Binaries, DataDir, Platform};
use serde_json::{Value, json};

const UNKNOWN: &str = "00000000-0000-4000-8000-000000000000";

struct World {
    candor: Platform,
    client: Client,
    me: FakeAgent,
    peer: FakeAgent,
    _data: DataDir,
}

async fn world() -> World {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    let me = FakeAgent::enrolled(&mut client, "me").await.unwrap();
    let peer = FakeAgent::enrolled(&mut client, "peer").await.unwrap();
    World {
        candor,
        client,
        me,
        peer,
        _data: data,
    }
}

impl World {
    async fn report(&mut self, body: &Value) {
        let target = format!("/workspaces/{}/activity", self.me.id);
        let call = Call::post(target, body).bearer(&self.me.token);
        assert_eq!(self.client.send(call).await.unwrap().status, 200);
    }

    async fn ask(&mut self, query: &str) -> (u16, Value) {
        let target = format!("/workspaces/{}/activity{query}", self.me.id);
        let answer = self.client.send(Call::get(target)).await.unwrap();
        (answer.status, answer.json())
    }

    async fn rows(&mut self, query: &str) -> Vec<Value> {
        let (status, rows) = self.ask(query).await;
        assert_eq!(status, 200, "{query}: {rows}");
        rows.as_array().unwrap().clone()
    }

    async fn summaries(&mut self, query: &str) -> Vec<String> {
        let rows = self.rows(query).await;
        rows.iter()
            .map(|row| row["summary"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// A hundred rows that share batches.
    async fn many(&self) {
        let rows = (0..100).map(|n| pb::RecordRequest {
            workspace_id: self.me.id.clone(),
            activity_type: "agent_log".to_owned(),
            summary: Some(n.to_string()),
            ..pb::RecordRequest::default()
        });
        let message = pb::RecordStreamRequest {
            rows: rows.collect(),
        };
        let mut client = ActivityLogServiceClient::new(self.candor.channel().await.unwrap());
        let request = with_bearer(futures::stream::iter([message]), &self.me.token).unwrap();
        let mut answers = client.record_stream(request).await.unwrap().into_inner();
        let results = answers.message().await.unwrap().unwrap().results;
        assert!(results.iter().all(|result| result.error_reason.is_empty()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_choose_rows() {
    let mut world = world().await;
    let peer = world.peer.id.clone();
    world
        .report(&json!({"activity_type": "agent_log", "summary": "log"}))
        .await;
    world
        .report(&json!({"activity_type": "a2a_send", "summary": "sent", "target_id": peer}))
        .await;
    world
        .report(&json!({"activity_type": "error", "summary": "bad"}))
        .await;
    assert_eq!(world.summaries("").await, ["bad", "sent", "log"]);
    assert_eq!(world.summaries("?type=a2a_send").await, ["sent"]);
    assert_eq!(world.summaries("?type=nothing").await, [""; 0]);
    assert_eq!(world.summaries(&format!("?peer_id={peer}")).await, ["sent"]);
    let own = format!("?peer_id={}", world.me.id);
    assert_eq!(world.summaries(&own).await, ["bad", "sent", "log"]);
    assert_eq!(world.summaries("?limit=2").await, ["bad", "sent"]);
    assert_eq!(world.summaries("?limit=2&type=error").await, ["bad"]);
    for bad in [
        "?peer_id=nope",
        "?since_id=nope",
        "?before_ts=yesterday",
        "?source=me",
    ] {
        assert_eq!(world.ask(bad).await.0, 400, "{bad}");
    }
    let (status, body) = world.ask(&format!("?since_id={UNKNOWN}")).await;
    assert_eq!((status, &body["error"]), (410, &json!("cursor expired")));
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_go_through_everything_once_in_both_directions() {
    let mut world = world().await;
    world.many().await;
    let everything: BTreeSet<String> = (0..100).map(|n| n.to_string()).collect();

    // Backwards by time, as pages of a chat are read: rows of one commit have
    // times of their own.
    let (mut seen, mut query) = (Vec::new(), "?limit=7".to_owned());
    loop {
        let rows = world.rows(&query).await;
        let Some(last) = rows.last() else { break };
        let before = last["created_at"].as_str().unwrap().replace('+', "%2B");
        query = format!("?limit=7&before_ts={before}");
        seen.extend(
            rows.iter()
                .map(|row| row["summary"].as_str().unwrap().to_owned()),
        );
    }
    assert_eq!(seen.len(), 100);
    assert_eq!(seen.iter().cloned().collect::<BTreeSet<_>>(), everything);

    // Forwards by row, as runtimes poll.
    let oldest = world.rows("?limit=500").await.pop().unwrap();
    let mut polled = vec![oldest["summary"].as_str().unwrap().to_owned()];
    let mut cursor = oldest["id"].as_str().unwrap().to_owned();
    loop {
        let rows = world.rows(&format!("?limit=9&since_id={cursor}")).await;
        let Some(last) = rows.last() else { break };
        cursor = last["id"].as_str().unwrap().to_owned();
        polled.extend(
            rows.iter()
                .map(|row| row["summary"].as_str().unwrap().to_owned()),
        );
    }
    seen.reverse();
    assert_eq!(polled, seen);
}
