//! A workspace that fetches its messages by itself: they are accepted, listed, and
//! delivered once it says that it has them.
#![allow(clippy::unwrap_used)]

use candor_testkit::a2a_workspace::{created, message};
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::{Binaries, DataDir};
use candor_testkit::postgres;
use serde_json::{Value, json};

struct Poller {
    client: Client,
    id: String,
    token: String,
}

impl Poller {
    /// A workspace that registers without an address.
    async fn start(mut client: Client) -> Self {
        let id = created(&mut client, &json!({"name": "polls"}))
            .await
            .unwrap();
        let body = json!({"id": id, "delivery_mode": "poll", "agent_card": {"name": "polls"}});
        let register = Call::post("/registry/register", &body);
        let registered = client.send(register).await.unwrap();
        let token = registered.json()["auth_token"].as_str().unwrap().to_owned();
        Self { client, id, token }
    }

    /// Sends it a message; answers its entry.
    async fn is_sent(&mut self, message_id: &str) -> String {
        let call = Call::post(format!("/workspaces/{}/a2a", self.id), &message(message_id));
        let answer = self.client.send(call).await.unwrap();
        let body = answer.json();
        assert_eq!(answer.status, 202, "{body}");
        let words = "workspace fetches its messages — request queued until it does";
        assert_eq!(body["message"], words);
        body["queue_id"].as_str().unwrap().to_owned()
    }

    fn fetch(&self, since: &str) -> Call {
        Call::get(format!(
            "/workspaces/{}/activity?type=a2a_receive&since_id={since}",
            self.id
        ))
    }

    /// Fetches by its own token: row id, message id, status.
    async fn fetches(&mut self, since: &str) -> Vec<(String, String, String)> {
        let call = self.fetch(since).bearer(&self.token);
        let rows = self.client.send(call).await.unwrap().json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let row = |row: &Value| {
            let message = &row["request_body"]["params"]["message"];
            (
                text(&row["id"]),
                text(&message["messageId"]),
                text(&row["status"]),
            )
        };
        rows.as_array().unwrap().iter().map(row).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_delivered_when_its_cursor_comes_back_by_its_own_token() {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &[]).await.unwrap();
    let url = candor.database_url();
    let mut poller = Poller::start(Client::new(candor.http())).await;
    let first = poller.is_sent("m-1").await;
    assert_eq!(poller.is_sent("m-1").await, first, "the same waits once");
    let second = poller.is_sent("m-2").await;
    let waits = "SELECT count(*)::text FROM activity_logs WHERE status = 'queued'";
    postgres::becomes(&url, waits, "2").await.unwrap();

    let rows = poller.fetches("").await;
    let [last, oldest] = rows.as_slice() else {
        panic!("{rows:?}")
    };
    assert_eq!((oldest.1.as_str(), oldest.2.as_str()), ("m-1", "queued"));
    assert_eq!((last.1.as_str(), last.2.as_str()), ("m-2", "queued"));
    let states = format!(
        "SELECT string_agg(state, ',' ORDER BY n) FROM relay.entries
         WHERE id IN ('{first}', '{second}')"
    );
    // Fetched is not yet delivered; and somebody else's cursor says nothing.
    let others = poller.client.send(poller.fetch(&last.0)).await.unwrap();
    assert_eq!(others.json(), json!([]));
    let now = postgres::text(&url, &states).await.unwrap();
    assert_eq!(now, "accepted,accepted");

    let rest = poller.fetches(&oldest.0).await;
    assert_eq!(rest.len(), 1);
    assert_eq!((rest[0].1.as_str(), rest[0].2.as_str()), ("m-2", "queued"));
    postgres::becomes(&url, &states, "delivered,accepted")
        .await
        .unwrap();
    assert_eq!(poller.fetches(&rest[0].0).await, []);
    postgres::becomes(&url, &states, "delivered,delivered")
        .await
        .unwrap();
    let final_rows = "SELECT string_agg(status || ' ' || phase, ',') FROM activity_logs
                      WHERE activity_type = 'a2a_receive'";
    postgres::becomes(&url, final_rows, "ok final,ok final")
        .await
        .unwrap();
}
