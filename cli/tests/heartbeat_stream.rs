//! Beats on one bidirectional stream: each is acknowledged by its id when it is
//! durable, and a wrong one harms no other.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use candor_proto::registry::v1::heartbeat_stream_response::Result as Outcome;
use candor_proto::registry::v1::registry_service_client::RegistryServiceClient;
use candor_proto::registry::v1::{
    GetWorkspaceRequest, HeartbeatRequest, HeartbeatStreamRequest, WorkspaceStatus,
};
use candor_testkit::agent::{FakeAgent, with_bearer};
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::{Binaries, DataDir};
use futures::StreamExt as _;
use tonic::Code;

fn beat(id: u64, workspace: &str, uptime: i32, state: &str) -> HeartbeatStreamRequest {
    HeartbeatStreamRequest {
        id,
        beat: Some(HeartbeatRequest {
            workspace_id: workspace.to_owned(),
            error_rate: Some(0.0),
            uptime_seconds: Some(uptime),
            runtime_state: Some(state.to_owned()),
            ..HeartbeatRequest::default()
        }),
        ..HeartbeatStreamRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_beat_of_a_stream_is_acknowledged_by_its_id() {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    let agent = FakeAgent::enrolled(&mut client, "streams").await.unwrap();
    let other = FakeAgent::enrolled(&mut client, "other").await.unwrap();
    let mut registry = RegistryServiceClient::new(candor.channel().await.unwrap());
    let mut beats: Vec<_> = (1..=50)
        .map(|id| beat(id, &agent.id, i32::try_from(id).unwrap(), ""))
        .collect();
    beats.push(beat(51, &agent.id, 51, "wedged"));
    // Another's workspace, no workspace, and none of anybody's.
    beats.push(beat(52, &other.id, 1, ""));
    beats.push(beat(53, "nope", 1, ""));
    beats.push(HeartbeatStreamRequest {
        id: 54,
        ..HeartbeatStreamRequest::default()
    });
    let request = with_bearer(futures::stream::iter(beats), &agent.token).unwrap();
    let mut answers = registry
        .heartbeat_stream(request)
        .await
        .unwrap()
        .into_inner();
    let mut by_id = BTreeMap::new();
    while let Some(answer) = answers.next().await {
        let answer = answer.unwrap();
        by_id.insert(answer.id, answer.result.unwrap());
    }
    assert_eq!(by_id.len(), 54);
    for id in 1..=51 {
        assert!(
            matches!(&by_id[&id], Outcome::Ok(ok) if ok.status == "ok"),
            "{id}"
        );
    }
    let code = |id: u64| match &by_id[&id] {
        Outcome::Error(error) => Code::from(error.code),
        Outcome::Ok(_) => Code::Ok,
    };
    assert_eq!(code(52), Code::Unauthenticated);
    assert_eq!(code(53), Code::InvalidArgument);
    assert_eq!(code(54), Code::InvalidArgument);
    let request = GetWorkspaceRequest {
        id: agent.id.clone(),
    };
    let shown = registry.get_workspace(request).await.unwrap().into_inner();
    assert_eq!(shown.status(), WorkspaceStatus::Degraded);
    assert_eq!(shown.uptime_seconds, 51);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_ends_what_a_stream_may_say() {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    let agent = FakeAgent::enrolled(&mut client, "revoked").await.unwrap();
    let mut registry = RegistryServiceClient::new(candor.channel().await.unwrap());
    let (beats, queue) = tokio::sync::mpsc::channel(4);
    let request = futures::stream::unfold(queue, |mut queue| async move {
        Some((queue.recv().await?, queue))
    });
    let request = with_bearer(request, &agent.token).unwrap();
    beats.send(beat(1, &agent.id, 1, "")).await.unwrap();
    let mut answers = registry
        .heartbeat_stream(request)
        .await
        .unwrap()
        .into_inner();
    let first = answers.message().await.unwrap().unwrap();
    assert!(matches!(first.result, Some(Outcome::Ok(_))), "{first:?}");

    let path = format!("/workspaces/{}/tokens", agent.id);
    let tokens = client.send(Call::get(path.clone())).await.unwrap().json();
    let token = tokens["tokens"][0]["id"].as_str().unwrap();
    let revoke = Call::new(http::Method::DELETE, format!("{path}/{token}"));
    assert_eq!(client.send(revoke).await.unwrap().status, 200);
    beats.send(beat(2, &agent.id, 2, "wedged")).await.unwrap();
    let second = answers.message().await.unwrap().unwrap();
    let Some(Outcome::Error(error)) = second.result else {
        panic!("{second:?}");
    };
    assert_eq!(Code::from(error.code), Code::Unauthenticated);
    let shown = client
        .send(Call::get(format!("/workspaces/{}", agent.id)))
        .await;
    assert_eq!(shown.unwrap().json()["status"], "online");
}
