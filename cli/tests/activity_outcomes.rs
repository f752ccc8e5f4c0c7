//! The life of a row that Candor's own processes write: intent, queued, final;
//! each write once; what comes too late stays beside it.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use candor_proto::activity::v1 as pb;
use candor_proto::activity::v1::activity_log_service_client::ActivityLogServiceClient;
use candor_testkit::agent::FakeAgent;
use candor_testkit::http::{Call, Client};
use candor_testkit::peer::as_platform;
use candor_testkit::platform::{Binaries, Platform};
use candor_testkit::postgres::{self, Postgres};
use candor_testkit::wait::wait_for;
use futures::StreamExt as _;
use http::Method;
use tonic::transport::Channel;
use tonic::{Code, Request};

const AUDIENCE: &str = "candor.activity.v1.ActivityLogService";
const SOON: Duration = Duration::from_secs(40);

/// A registry, an activity log and a gateway, each a process.
struct World {
    url: String,
    rows: ActivityLogServiceClient<Channel>,
    client: Client,
    workspace: String,
    _activity_log: Platform,
    _gateway: Platform,
    _registry: Platform,
    _postgres: Postgres,
}

async fn world(env: &[(&str, &str)]) -> World {
    let postgres = Postgres::start_new().await.unwrap();
    let url = postgres.create_database().await.unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    binaries.migrate(&url).unwrap();
    let registry = binaries.registry(&url, &[]).await.unwrap();
    let activity_log = binaries
        .activity_log(&url, registry.grpc(), env)
        .await
        .unwrap();
    let address = format!("http://{}", activity_log.grpc());
    let gateway = binaries
        .gateway(registry.grpc(), &[("CANDOR_ACTIVITY_LOG", &address)])
        .await
        .unwrap();
    let mut client = Client::new(gateway.http());
    let agent = FakeAgent::create(&mut client, "outcomes").await.unwrap();
    World {
        url,
        rows: ActivityLogServiceClient::new(activity_log.channel().await.unwrap()),
        client,
        workspace: agent.id,
        _activity_log: activity_log,
        _gateway: gateway,
        _registry: registry,
        _postgres: postgres,
    }
}

fn relay<T>(message: T) -> Request<T> {
    as_platform(message, "relay", AUDIENCE)
}

fn body(text: &str) -> Option<pb::Body> {
    Some(pb::Body {
        content: text.as_bytes().to_vec().into(),
        ..pb::Body::default()
    })
}

fn id(n: u8) -> String {
    format!("01a20000-0000-7000-8000-0000000000{n:02x}")
}

impl World {
    fn intent(&self, n: u8) -> pb::BeginRequest {
        pb::BeginRequest {
            id: id(n),
            workspace_id: self.workspace.clone(),
            activity_type: "a2a_receive".to_owned(),
            source: Some(pb::Source {
                kind: pb::SourceKind::System.into(),
                id: "webhook:github".to_owned(),
                ..pb::Source::default()
            }),
            method: Some("message/send".to_owned()),
            request_body: body(r#"{"q":1}"#),
            deadline: Some(prost_types::Duration {
                seconds: 300,
                nanos: 0,
            }),
            ..pb::BeginRequest::default()
        }
    }

    async fn begin(&mut self, request: pb::BeginRequest) -> Result<(), Code> {
        let begun = self.rows.begin(relay(request)).await;
        begun.map(|_| ()).map_err(|status| status.code())
    }

    async fn complete(&mut self, n: u8, status: &str, response: &str) -> Result<bool, Code> {
        let request = pb::CompleteRequest {
            id: id(n),
            status: status.to_owned(),
            response_body: body(response),
            ..pb::CompleteRequest::default()
        };
        let done = self.rows.complete(relay(request)).await;
        done.map(|done| done.into_inner().late)
            .map_err(|status| status.code())
    }

    async fn listed(&mut self) -> Vec<pb::Activity> {
        let request = pb::ListRequest {
            workspace_id: self.workspace.clone(),
            oldest_first: true,
            ..pb::ListRequest::default()
        };
        let listed = self.rows.list(request).await.unwrap();
        listed.into_inner().activities
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_is_hidden_until_it_is_queued_and_immutable_once_it_is_final() {
    let mut world = world(&[]).await;
    world.begin(world.intent(1)).await.unwrap();
    world.begin(world.intent(1)).await.unwrap();
    assert_eq!(world.listed().await.len(), 0);
    let other = pb::BeginRequest {
        summary: Some("another".to_owned()),
        ..world.intent(1)
    };
    assert_eq!(world.begin(other).await, Err(Code::FailedPrecondition));

    world.complete(1, "queued", "").await.unwrap();
    world.complete(1, "queued", "").await.unwrap();
    let other = world.complete(1, "queued", "other").await;
    assert_eq!(other, Err(Code::FailedPrecondition));
    let rows = world.listed().await;
    assert_eq!((rows.len(), rows[0].r#final), (1, false));
    assert_eq!(rows[0].status.as_deref(), Some("queued"));
    let source = rows[0].source.clone().unwrap();
    assert_eq!(source.kind(), pb::SourceKind::System);
    assert_eq!(source.id, "webhook:github");

    // Listed after it, and final before it: the place in the list stays.
    world.begin(world.intent(2)).await.unwrap();
    world.complete(2, "ok", "two").await.unwrap();
    assert_eq!(world.complete(1, "ok", "one").await, Ok(false));
    assert_eq!(world.complete(1, "ok", "one").await, Ok(false));
    assert_eq!(world.complete(1, "queued", "").await, Ok(false));
    let changed = world.complete(1, "error", "other").await;
    assert_eq!(changed, Err(Code::FailedPrecondition));
    let rows = world.listed().await;
    let kept: Vec<_> = rows
        .iter()
        .map(|row| (row.id.clone(), row.r#final, row.response_body.clone()))
        .collect();
    assert_eq!(
        kept,
        [(id(1), true, body("one")), (id(2), true, body("two"))]
    );
    assert_eq!(world.complete(9, "ok", "").await, Err(Code::NotFound));
    let nowhere = pb::BeginRequest {
        workspace_id: id(9),
        ..world.intent(3)
    };
    assert_eq!(world.begin(nowhere).await, Err(Code::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_is_told_with_its_trace_as_it_came() {
    let mut world = world(&[]).await;
    let url = format!("ws://{}/ws", world.client.addr());
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    world.begin(world.intent(1)).await.unwrap();
    let outcome = pb::CompleteRequest {
        id: id(1),
        status: "ok".to_owned(),
        duration_ms: Some(42),
        summary: Some("done".to_owned()),
        tool_trace: Some(r#"[{"n":1.0,"b":1,"a":2}]"#.to_owned()),
        ..pb::CompleteRequest::default()
    };
    let no_json = pb::CompleteRequest {
        tool_trace: Some("no json".to_owned()),
        ..outcome.clone()
    };
    let refused = world.rows.complete(relay(no_json)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    world.rows.complete(relay(outcome)).await.unwrap();
    let told = tokio::time::timeout(SOON, socket.next()).await.unwrap();
    let told = told.unwrap().unwrap().into_text().unwrap();
    assert!(told.contains(r#""event":"ACTIVITY_LOGGED""#), "{told}");
    assert!(told.contains(r#""duration_ms":42"#), "{told}");
    assert!(
        told.contains(r#""tool_trace":[{"n":1.0,"b":1,"a":2}]"#),
        "{told}"
    );
    let rows = world.listed().await;
    assert_eq!(rows[0].summary.as_deref(), Some("done"));
    assert_eq!(
        rows[0].tool_trace.as_deref(),
        Some(r#"[{"n":1.0,"b":1,"a":2}]"#)
    );

    for (deadline, source) in [
        (None, world.intent(2).source),
        (Some(0), world.intent(2).source),
        (Some(24 * 3600 + 1), world.intent(2).source),
        (Some(60), None),
        (Some(60), Some(pb::Source::default())),
    ] {
        let wrong = pb::BeginRequest {
            deadline: deadline.map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
            source,
            ..world.intent(2)
        };
        assert_eq!(world.begin(wrong).await, Err(Code::InvalidArgument));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overdue_intent_is_closed_and_what_comes_later_is_kept_beside_it() {
    let mut world = world(&[]).await;
    world.begin(world.intent(1)).await.unwrap();
    world.begin(world.intent(2)).await.unwrap();
    let overdue = format!(
        "UPDATE activity_logs SET deadline = now() - interval '61 s' WHERE id = '{}';
         UPDATE activity_logs SET deadline = now() - interval '30 s' WHERE id = '{}'",
        id(1),
        id(2)
    );
    postgres::execute(&world.url, &overdue).await.unwrap();
    let closed = "SELECT count(*) FROM activity_logs WHERE phase = 'final'";
    wait_for("the reaper", SOON, || async {
        (postgres::count(&world.url, closed).await.ok()? > 0).then_some(())
    })
    .await
    .unwrap();
    let rows = world.listed().await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].status.as_deref(), Some("error"));
    assert_eq!(rows[0].error_detail.as_deref(), Some("outcome unknown"));

    assert_eq!(world.complete(1, "ok", "after all").await, Ok(true));
    assert_eq!(world.complete(1, "ok", "after all").await, Ok(true));
    let another = world.complete(1, "ok", "or not").await;
    assert_eq!(another, Err(Code::FailedPrecondition));
    let rows = world.listed().await;
    assert_eq!(rows[0].status.as_deref(), Some("error"), "never over it");
    let late = rows[0].late_outcome.clone().unwrap();
    assert_eq!(
        (late.status.as_str(), late.response_body),
        ("ok", body("after all"))
    );
    // Within its grace the other one still is what it becomes.
    assert_eq!(world.complete(2, "ok", "in time").await, Ok(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn old_rows_go_and_purged_workspaces_keep_rows_without_bodies() {
    let mut world = world(&[("ACTIVITY_RETENTION_DAYS", "2")]).await;
    for n in 1..=3 {
        world.begin(world.intent(n)).await.unwrap();
        world.complete(n, "ok", "said").await.unwrap();
    }
    world.begin(world.intent(4)).await.unwrap();
    let cursor = format!(
        "/workspaces/{}/activity?since_id={}",
        world.workspace,
        id(1)
    );
    let after = world.client.send(Call::get(&cursor)).await.unwrap();
    assert_eq!(after.json().as_array().unwrap().len(), 2);
    let age = format!(
        "UPDATE activity_logs SET created_at = now() - interval '3 days' WHERE id = '{}'",
        id(1)
    );
    postgres::execute(&world.url, &age).await.unwrap();
    wait_for("retention", SOON, || async {
        let listed = "SELECT count(*) FROM activity_logs WHERE phase = 'final'";
        (postgres::count(&world.url, listed).await.ok()? == 2).then_some(())
    })
    .await
    .unwrap();
    let gone = world.client.send(Call::get(&cursor)).await.unwrap();
    assert_eq!(
        (gone.status, gone.text().as_str()),
        (410, r#"{"error":"cursor expired"}"#)
    );

    let target = format!("/workspaces/{}?confirm=true&purge=true", world.workspace);
    let purged = world.client.send(Call::new(Method::DELETE, target)).await;
    assert_eq!(purged.unwrap().status, 200);
    wait_for("emptied rows", SOON, || async {
        let full = "SELECT count(*) FROM activity_logs
            WHERE coalesce(response_text, request_text) IS NOT NULL";
        (postgres::count(&world.url, full).await.ok()? == 0).then_some(())
    })
    .await
    .unwrap();
    // What comes after the purge stays empty, too.
    world.complete(4, "ok", "late words").await.unwrap();
    let rows = world.listed().await;
    assert_eq!(rows.len(), 3);
    let empty = |row: &pb::Activity| row.request_body.is_none() && row.response_body.is_none();
    assert!(rows.iter().all(empty), "{rows:?}");
}
