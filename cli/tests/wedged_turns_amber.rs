//! A workspace that says it is wedged turns amber, everywhere, within one beat.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use candor_proto::registry::v1::registry_service_client::RegistryServiceClient;
use candor_proto::registry::v1::{
    Event, ExplainStatusRequest, GetWorkspaceRequest, WatchEventsRequest, WorkspaceStatus,
};
use candor_testkit::agent::{FakeAgent, Mood};
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::{Binaries, DataDir, Platform};
use candor_testkit::postgres;
use serde_json::{Value, json};
use tonic::Streaming;

const STUCK: &str = "Control request timeout: initialize";
const SOON: Duration = Duration::from_secs(3);

async fn up(data: &DataDir) -> Platform {
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    binaries.up(data, &[]).await.unwrap()
}

fn wedged() -> Mood {
    Mood::Wedged {
        sample_error: STUCK.into(),
    }
}

/// GET /workspaces/:id.
async fn shown(client: &mut Client, id: &str) -> Value {
    let call = Call::get(format!("/workspaces/{id}"));
    client.send(call).await.unwrap().json()
}

/// The workspace's object in GET /workspaces.
async fn listed(client: &mut Client, id: &str) -> Value {
    let all = client.send(Call::get("/workspaces")).await.unwrap().json();
    let mut found = all.as_array().unwrap().iter();
    found.find(|found| found["id"] == id).unwrap().clone()
}

/// Type and payload of the workspace's stored events, oldest first.
async fn stored(client: &mut Client, id: &str) -> Vec<(String, Value)> {
    let call = Call::get(format!("/events/{id}"));
    let events = client.send(call).await.unwrap().json();
    let mut events: Vec<(String, Value)> = events
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            (
                event["event_type"].as_str().unwrap().to_owned(),
                event["payload"].clone(),
            )
        })
        .collect();
    events.reverse();
    events
}

/// The next event of this type; others are passed over.
async fn next(events: &mut Streaming<Event>, event_type: &str) -> Event {
    let found = async {
        loop {
            let event = events.message().await.unwrap().unwrap();
            if event.event_type == event_type {
                return event;
            }
        }
    };
    tokio::time::timeout(SOON, found).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn online_to_degraded_on_wedged_is_seen_by_every_reader() {
    let data = DataDir::new().unwrap();
    let candor = up(&data).await;
    let mut client = Client::new(candor.http());
    let mut registry = RegistryServiceClient::new(candor.channel().await.unwrap());
    let mut agent = FakeAgent::enrolled(&mut client, "amber").await.unwrap();
    agent.beat(&mut client).await.unwrap();
    assert_eq!(shown(&mut client, &agent.id).await["status"], "online");
    let watch = WatchEventsRequest {
        workspace_id: Some(agent.id.clone()),
        ..WatchEventsRequest::default()
    };
    let mut events = registry.watch_events(watch).await.unwrap().into_inner();

    agent.mood = wedged();
    let answer = agent.beat(&mut client).await.unwrap().unwrap();

    assert_eq!(answer.json()["status"], "ok");
    assert_eq!(shown(&mut client, &agent.id).await["status"], "degraded");
    let in_list = listed(&mut client, &agent.id).await;
    assert_eq!(in_list["status"], "degraded");
    assert_eq!(in_list["last_sample_error"], STUCK);
    let request = GetWorkspaceRequest {
        id: agent.id.clone(),
    };
    let workspace = registry.get_workspace(request).await.unwrap().into_inner();
    assert_eq!(workspace.status(), WorkspaceStatus::Degraded);
    assert_eq!(workspace.verdict, "wedged");
    let request = ExplainStatusRequest {
        id: agent.id.clone(),
        limit: 1,
    };
    let why = registry.explain_status(request).await.unwrap().into_inner();
    assert_eq!(why.causes[0].kind, "wedged");
    assert_eq!(why.decisions[0].rule, "R4");
    let event = next(&mut events, "WORKSPACE_DEGRADED").await;
    let payload: Value = serde_json::from_str(&event.payload).unwrap();
    let wanted = json!({"runtime_state": "wedged", "sample_error": STUCK});
    assert_eq!(payload, wanted);
    let degradations: Vec<Value> = stored(&mut client, &agent.id)
        .await
        .into_iter()
        .filter(|(event_type, _)| event_type == "WORKSPACE_DEGRADED")
        .map(|(_, payload)| payload)
        .collect();
    assert_eq!(degradations, [wanted]);
}

#[tokio::test(flavor = "multi_thread")]
async fn degraded_stays_until_the_wedge_clears_and_then_turns_online() {
    let data = DataDir::new().unwrap();
    let candor = up(&data).await;
    let mut client = Client::new(candor.http());
    let mut agent = FakeAgent::enrolled(&mut client, "slow").await.unwrap();
    agent.beat(&mut client).await.unwrap();
    agent.mood = wedged();
    for _ in 0..3 {
        agent.beat(&mut client).await.unwrap();
        assert_eq!(shown(&mut client, &agent.id).await["status"], "degraded");
    }
    agent.mood = Mood::Partial {
        current_task: "still trying".into(),
    };
    agent.beat(&mut client).await.unwrap();
    let in_list = listed(&mut client, &agent.id).await;
    assert_eq!(
        in_list["status"], "degraded",
        "a partial beat clears nothing"
    );
    assert_eq!(in_list["last_sample_error"], STUCK);
    assert_eq!(in_list["current_task"], "still trying");
    agent.mood = Mood::Healthy;
    agent.beat(&mut client).await.unwrap();
    assert_eq!(shown(&mut client, &agent.id).await["status"], "online");
    let types: Vec<String> = stored(&mut client, &agent.id)
        .await
        .into_iter()
        .map(|(event_type, _)| event_type)
        .collect();
    let changes = &types[types.len() - 2..];
    assert_eq!(
        changes,
        ["WORKSPACE_DEGRADED", "WORKSPACE_ONLINE"],
        "{types:?}"
    );
    let once = types.iter().filter(|event| *event == "WORKSPACE_DEGRADED");
    assert_eq!(once.count(), 1, "{types:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wedged_from_provisioning_and_offline_goes_straight_to_degraded() {
    let data = DataDir::new().unwrap();
    let candor = up(&data).await;
    let mut client = Client::new(candor.http());
    for status in ["provisioning", "offline", "failed"] {
        let mut agent = FakeAgent::enrolled(&mut client, status).await.unwrap();
        let statement = format!(
            "UPDATE workspaces SET status = '{status}' WHERE id = '{}'",
            agent.id
        );
        let url = candor.database_url();
        postgres::execute(&url, &statement).await.unwrap();
        let before = stored(&mut client, &agent.id).await.len();
        agent.mood = wedged();
        agent.beat(&mut client).await.unwrap();
        assert_eq!(shown(&mut client, &agent.id).await["status"], "degraded");
        let events = stored(&mut client, &agent.id).await;
        let new: Vec<&str> = events[before..]
            .iter()
            .map(|(event, _)| event.as_str())
            .collect();
        assert_eq!(new, ["WORKSPACE_DEGRADED"], "from {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wedged_beat_over_grpc_turns_amber_over_http() {
    let data = DataDir::new().unwrap();
    let candor = up(&data).await;
    let mut client = Client::new(candor.http());
    let mut registry = RegistryServiceClient::new(candor.channel().await.unwrap());
    let mut agent = FakeAgent::enrolled(&mut client, "typed").await.unwrap();
    let answer = agent.beat_rpc(&mut registry).await.unwrap().unwrap();
    assert_eq!(answer.status, "ok");
    assert!(answer.lease_ttl.is_some() && answer.server_time.is_some());
    agent.mood = wedged();
    agent.beat_rpc(&mut registry).await.unwrap();
    assert_eq!(shown(&mut client, &agent.id).await["status"], "degraded");
    agent.mood = Mood::Partial {
        current_task: "x".into(),
    };
    agent.beat_rpc(&mut registry).await.unwrap();
    assert_eq!(shown(&mut client, &agent.id).await["status"], "degraded");
    agent.mood = Mood::Healthy;
    agent.beat_rpc(&mut registry).await.unwrap();
    assert_eq!(shown(&mut client, &agent.id).await["status"], "online");
}
