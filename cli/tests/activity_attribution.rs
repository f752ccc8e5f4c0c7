//! Who a row is attributed to: the authenticated caller, whatever was claimed;
//! and which rows are the conversation with a person.
#![allow(clippy::unwrap_used)]

use candor_proto::activity::v1 as pb;
use candor_proto::activity::v1::activity_log_service_client::ActivityLogServiceClient;
use candor_testkit::agent::with_bearer;
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::{Binaries, DataDir, Platform};
use candor_testkit::postgres;
use serde_json::{Value, json};
use tonic::Code;
use tonic::transport::Channel;

const ADMIN: &str = "the-admin-token-of-this-test";

struct World {
    candor: Platform,
    client: Client,
    rows: ActivityLogServiceClient<Channel>,
    /// Two workspaces: id and token.
    a: (String, String),
    b: (String, String),
    _data: DataDir,
}

async fn world() -> World {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &[("ADMIN_TOKEN", ADMIN)]).await.unwrap();
    let mut client = Client::new(candor.http());
    let mut made = Vec::new();
    for name in ["a", "b"] {
        let create = Call::post("/workspaces", &json!({"name": name, "tier": 1})).bearer(ADMIN);
        let created = client.send(create).await.unwrap().json();
        let id = created["id"].as_str().unwrap().to_owned();
        let mint = Call::post(format!("/workspaces/{id}/tokens"), &json!({})).bearer(ADMIN);
        let minted = client.send(mint).await.unwrap().json();
        made.push((id, minted["auth_token"].as_str().unwrap().to_owned()));
    }
    let rows = ActivityLogServiceClient::new(candor.channel().await.unwrap());
    let b = made.pop().unwrap();
    let a = made.pop().unwrap();
    World {
        candor,
        client,
        rows,
        a,
        b,
        _data: data,
    }
}

impl World {
    async fn report(&mut self, bearer: &str, body: &Value) -> (u16, Value) {
        let target = format!("/workspaces/{}/activity", self.a.0);
        let answer = self
            .client
            .send(Call::post(target, body).bearer(bearer))
            .await
            .unwrap();
        (answer.status, answer.json())
    }

    async fn summaries(&mut self, query: &str) -> Vec<String> {
        let target = format!("/workspaces/{}/activity{query}", self.a.0);
        let answer = self
            .client
            .send(Call::get(target).bearer(ADMIN))
            .await
            .unwrap();
        let rows = answer.json();
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| row["summary"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    async fn listed(&mut self) -> Vec<pb::Activity> {
        let request = pb::ListRequest {
            workspace_id: self.a.0.clone(),
            oldest_first: true,
            ..pb::ListRequest::default()
        };
        let listed = self.rows.list(with_bearer(request, ADMIN).unwrap()).await;
        listed.unwrap().into_inner().activities
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_is_the_caller_and_the_canvas_shows_people_and_notes_only() {
    let mut world = world().await;
    let (id, token) = world.a.clone();
    let own = json!({"activity_type": "a2a_receive", "summary": "own", "source_id": id});
    assert_eq!(world.report(&token, &own).await.0, 200);
    let person = json!({"activity_type": "a2a_receive", "summary": "person", "source_id": id});
    assert_eq!(world.report(ADMIN, &person).await.0, 200);
    let notify = Call::post(
        format!("/workspaces/{id}/notify"),
        &json!({"message": "hello"}),
    );
    let sent = world.client.send(notify.bearer(&token)).await.unwrap();
    assert_eq!(
        (sent.status, sent.json()["status"].clone()),
        (200, json!("sent"))
    );

    let canvas = world.summaries("?source=canvas").await;
    assert_eq!(canvas, ["Agent message: hello", "person"]);
    assert_eq!(world.summaries("?source=agent").await, ["own"]);
    let rows = world.listed().await;
    let sources: Vec<_> = rows
        .iter()
        .map(|row| row.source.clone().unwrap())
        .map(|source| (source.kind(), source.id, source.auth, source.claimed))
        .collect();
    use pb::SourceKind::{User, Workspace};
    let token_word = "token".to_owned();
    assert_eq!(
        sources,
        [
            (Workspace, id.clone(), token_word.clone(), id.clone()),
            (User, String::new(), "admin".to_owned(), id.clone()),
            (Workspace, id.clone(), token_word, String::new()),
        ]
    );
    assert_eq!(
        rows.iter().map(|row| row.conversation).collect::<Vec<_>>(),
        [false, true, true]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_source_is_refused_and_leaves_nothing() {
    let mut world = world().await;
    let ((id, token), (other, foreign)) = (world.a.clone(), world.b.clone());
    for claim in [other.as_str(), "nope"] {
        let forged = json!({"activity_type": "agent_log", "source_id": claim});
        let (status, body) = world.report(&token, &forged).await;
        assert_eq!(status, 403, "{claim}");
        assert_eq!(
            body["error"],
            "source_id must match authenticated workspace"
        );
    }
    // Another workspace's credential, and none.
    let row = json!({"activity_type": "agent_log"});
    assert_eq!(world.report(&foreign, &row).await.0, 401);
    assert_eq!(world.report("junk", &row).await.0, 401);
    // Notes to people have a route of their own.
    let note = json!({"activity_type": "a2a_receive", "method": "notify", "summary": "forged"});
    assert_eq!(world.report(&token, &note).await.0, 400);

    let record = pb::RecordRequest {
        workspace_id: id.clone(),
        activity_type: "agent_log".to_owned(),
        source_id: other.clone(),
        ..pb::RecordRequest::default()
    };
    let spoofed = with_bearer(record.clone(), &token).unwrap();
    let refused = world.rows.record(spoofed).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let stranger = with_bearer(record, &foreign).unwrap();
    assert!(world.rows.record(stranger).await.is_err());
    // Nobody is let in to speak on an enforced listener.
    let nothing = pb::RecordStreamRequest::default();
    let refused = world
        .rows
        .record_stream(futures::stream::iter([nothing]))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    // Only Candor's own processes speak for others.
    let begin = pb::BeginRequest {
        workspace_id: id,
        ..pb::BeginRequest::default()
    };
    let refused = world.rows.begin(with_bearer(begin, ADMIN).unwrap()).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);

    let url = world.candor.database_url();
    let rows = postgres::count(&url, "SELECT count(*) FROM activity_logs").await;
    assert_eq!(rows.unwrap(), 0);
}
