//! The honest agent's heartbeat against the real platform: a stale token heals within
//! one beat, on HTTP and on the stream; an enforced platform, one that restarts, and a
//! signal in the middle of a turn.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use candor_proto::registry::v1::registry_service_client::RegistryServiceClient;
use candor_proto::registry::v1::{GetWorkspaceRequest, Workspace};
use candor_testkit::a2a_workspace::created;
use candor_testkit::chat::chat;
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::{Binaries, DataDir, Platform};
use candor_testkit::runtime::ConfigsDir;
use candor_testkit::wait::{wait_for, wait_until};
use http::Method;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);
/// A beat a second.
const FAST: &[(&str, &str)] = &[("CANDOR_LEASE_TTL", "2s"), ("CANDOR_LEASE_GRACE", "60s")];

fn binaries() -> Binaries {
    Binaries::beside(env!("CARGO_BIN_EXE_candor"))
}

async fn minted(client: &mut Client, id: &str) -> String {
    let mint = Call::get(format!("/admin/workspaces/{id}/test-token"));
    let answer = client.send(mint).await.unwrap();
    answer.json()["auth_token"].as_str().unwrap().to_owned()
}

async fn revoke(client: &mut Client, id: &str, token: &str, by: &str) {
    let path = format!("/workspaces/{id}/tokens");
    let list = client.send(Call::get(&path).bearer(by)).await.unwrap();
    let list: Value = list.json();
    let tokens = list["tokens"].as_array().unwrap();
    let found = tokens
        .iter()
        .find(|row| token.starts_with(row["prefix"].as_str().unwrap()))
        .unwrap();
    let path = format!("{path}/{}", found["id"].as_str().unwrap());
    let answer = client
        .send(Call::new(Method::DELETE, path).bearer(by))
        .await
        .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

async fn seen(candor: &Platform, id: &str) -> Workspace {
    let mut registry = RegistryServiceClient::new(candor.channel().await.unwrap());
    let request = GetWorkspaceRequest { id: id.to_owned() };
    registry.get_workspace(request).await.unwrap().into_inner()
}

/// Waits until the platform has heard of this workspace after `since`.
async fn heard_after(
    candor: &Platform,
    id: &str,
    since: Option<prost_types::Timestamp>,
) -> Workspace {
    wait_for("a beat", SOON, || async {
        let workspace = seen(candor, id).await;
        let at = workspace.last_heartbeat_at?;
        let is_later =
            since.is_none_or(|since| (at.seconds, at.nanos) > (since.seconds, since.nanos));
        is_later.then_some(workspace)
    })
    .await
    .unwrap()
}

async fn a_stale_token_heals(over_grpc: bool) {
    let data = DataDir::new().unwrap();
    let candor = binaries().up(&data, FAST).await.unwrap();
    let mut client = Client::new(candor.http());
    let id = created(&mut client, &json!({"name": "stale"}))
        .await
        .unwrap();
    let old = minted(&mut client, &id).await;
    let configs = ConfigsDir::with_token(&old).unwrap();
    let grpc = format!("http://{}", candor.grpc());
    let mut env = vec![("CANDOR_EXECUTOR", "echo")];
    if over_grpc {
        env.push(("CANDOR_PLATFORM_GRPC", grpc.as_str()));
    }
    let agent = binaries()
        .workspace(candor.http(), &id, &configs, &env)
        .await
        .unwrap();
    heard_after(&candor, &id, None).await;
    let new = minted(&mut client, &id).await;
    configs.write(".auth_token", &new).unwrap();
    revoke(&mut client, &id, &old, &new).await;
    let refused = wait_for("the token that was refused", SOON, || async {
        let workspace = seen(&candor, &id).await;
        (workspace.rejected_beats > 0).then_some(workspace)
    })
    .await
    .unwrap();
    let mut last = refused.last_heartbeat_at;
    for _ in 0..3 {
        last = heard_after(&candor, &id, last).await.last_heartbeat_at;
    }
    assert_eq!(
        seen(&candor, &id).await.rejected_beats,
        1,
        "one beat, not two"
    );
    let log = agent.output();
    assert!(log.contains("there is another one to try"), "{log}");
    assert!(!log.contains("a beat was not taken"), "{log}");
    assert!(
        !log.contains(&old) && !log.contains(&new),
        "no token in the log"
    );
    let over_http = log.contains("no gRPC stream");
    assert!(!over_http, "the stream was there all the time: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_cached_token_heals_within_one_beat() {
    a_stale_token_heals(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_cached_token_heals_within_one_beat_on_the_stream() {
    a_stale_token_heals(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_not_there_leaves_http() {
    let data = DataDir::new().unwrap();
    let candor = binaries().up(&data, FAST).await.unwrap();
    let mut client = Client::new(candor.http());
    let id = created(&mut client, &json!({"name": "no stream"}))
        .await
        .unwrap();
    let configs = ConfigsDir::new().unwrap();
    let env = [
        ("CANDOR_EXECUTOR", "echo"),
        ("CANDOR_PLATFORM_GRPC", "http://127.0.0.1:9"),
    ];
    let agent = binaries()
        .workspace(candor.http(), &id, &configs, &env)
        .await
        .unwrap();
    let first = heard_after(&candor, &id, None).await;
    heard_after(&candor, &id, first.last_heartbeat_at).await;
    let log = agent.output();
    assert!(log.contains("no gRPC stream for beats"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_a_token_is_given_one_and_keeps_it() {
    let data = DataDir::new().unwrap();
    let candor = binaries().up(&data, FAST).await.unwrap();
    let mut client = Client::new(candor.http());
    let id = created(&mut client, &json!({"name": "new"})).await.unwrap();
    let configs = ConfigsDir::new().unwrap();
    let env = [("CANDOR_EXECUTOR", "echo")];
    for _ in 0..2 {
        let before = seen(&candor, &id).await.last_heartbeat_at;
        let mut agent = binaries()
            .workspace(candor.http(), &id, &configs, &env)
            .await
            .unwrap();
        let workspace = heard_after(&candor, &id, before).await;
        assert_eq!(workspace.verdict, "healthy", "{:?}", workspace.reasons);
        assert_eq!(workspace.rejected_beats, 0);
        let status = agent.process().stop(SOON);
        assert_eq!(status.and_then(|status| status.code()), Some(0));
    }
    assert!(
        configs
            .read(".auth_token")
            .is_some_and(|token| token.len() == 43)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_workspaces_agent_takes_no_more_work() {
    let data = DataDir::new().unwrap();
    let candor = binaries().up(&data, FAST).await.unwrap();
    let mut client = Client::new(candor.http());
    let id = created(&mut client, &json!({"name": "gone"}))
        .await
        .unwrap();
    let configs = ConfigsDir::new().unwrap();
    let agent = binaries()
        .workspace(candor.http(), &id, &configs, &[("CANDOR_EXECUTOR", "echo")])
        .await
        .unwrap();
    heard_after(&candor, &id, None).await;
    let token = configs.read(".auth_token").unwrap();
    let remove = Call::new(Method::DELETE, format!("/workspaces/{id}?confirm=true"));
    let answer = client.send(remove.bearer(&token)).await.unwrap();
    let answer = if answer.status == 200 {
        answer
    } else {
        let remove = Call::new(Method::DELETE, format!("/workspaces/{id}?confirm=true"));
        client.send(remove).await.unwrap()
    };
    assert_eq!(answer.status, 200, "{}", answer.text());
    let knows = || agent.output().contains("this workspace was removed");
    assert!(wait_until(SOON, knows).await, "{}", agent.output());
    let part = json!({"kind": "text", "text": "hello"});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "message/send", "params":
        {"message": {"role": "user", "messageId": "m", "parts": [part]}}});
    let mut door = Client::new(agent.address());
    let refused = door.send(Call::post("/", &body)).await.unwrap();
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().contains("this workspace was removed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enforced_platform_is_shown_the_token_that_was_written() {
    const ADMIN: &str = "an-admin-token-that-nobody-guesses";
    let data = DataDir::new().unwrap();
    let env = [FAST, &[("CANDOR_ADMIN_TOKEN", ADMIN)]].concat();
    let candor = binaries().up(&data, &env).await.unwrap();
    let mut client = Client::new(candor.http());
    let body = json!({"name": "guarded", "tier": 1});
    let create = Call::post("/workspaces", &body).bearer(ADMIN);
    let created = client.send(create).await.unwrap().json();
    let id = created["id"].as_str().unwrap();
    let configs = ConfigsDir::new().unwrap();
    let echo = [("CANDOR_EXECUTOR", "echo")];
    let agent = binaries()
        .workspace(candor.http(), id, &configs, &echo)
        .await
        .unwrap();
    let says = |words: &str| agent.output().contains(words);
    let fix = "write a token of this workspace into .auth_token";
    let refused = || says("a beat was not taken") && says("not registered") && says(fix);
    assert!(wait_until(SOON, refused).await, "{}", agent.output());
    let mint = Call::post(format!("/workspaces/{id}/tokens"), &json!({})).bearer(ADMIN);
    let minted = client.send(mint).await.unwrap().json();
    let token = minted["auth_token"].as_str().unwrap();
    configs.write(".auth_token", token).unwrap();
    let shown = wait_for("online", SOON, || async {
        let call = Call::get(format!("/workspaces/{id}")).bearer(ADMIN);
        let shown = Client::new(candor.http()).send(call).await.unwrap().json();
        (shown["status"] == "online" && shown["url"] != "").then_some(shown)
    })
    .await
    .unwrap();
    assert_eq!(
        shown["url"],
        format!("http://localhost:{}", agent.address().port())
    );
    assert!(!agent.output().contains(token), "no token in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_restarts_is_found_again() {
    let data = DataDir::new().unwrap();
    let mut candor = binaries().up(&data, FAST).await.unwrap();
    let http = candor.http().to_string();
    let grpc = format!("http://{}", candor.grpc());
    let mut client = Client::new(candor.http());
    let mut agents = Vec::new();
    for stream in [None, Some(grpc.as_str())] {
        let body = json!({"name": "faithful"});
        let id = created(&mut client, &body).await.unwrap();
        let configs = ConfigsDir::new().unwrap();
        let mut env = vec![("CANDOR_EXECUTOR", "echo")];
        env.extend(stream.map(|url| ("CANDOR_PLATFORM_GRPC", url)));
        let agent = binaries()
            .workspace(candor.http(), &id, &configs, &env)
            .await
            .unwrap();
        heard_after(&candor, &id, None).await;
        agents.push((id, configs, agent));
    }
    candor.process().kill9();
    let failing =
        |agent: &candor_testkit::runtime::Runtime| agent.output().contains("a beat was not taken");
    for (_, _, agent) in &agents {
        assert!(
            wait_until(SOON, || failing(agent)).await,
            "{}",
            agent.output()
        );
    }
    let candor = binaries().up_at(&http, &data, FAST).await.unwrap();
    for (id, _, _) in &agents {
        let before = seen(&candor, id).await.last_heartbeat_at;
        let workspace = heard_after(&candor, id, before).await;
        assert_eq!(workspace.verdict, "healthy", "{:?}", workspace.reasons);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_in_the_middle_of_a_turn_leaves_the_platform_with_the_truth() {
    let data = DataDir::new().unwrap();
    let candor = binaries().up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    let id = created(&mut client, &json!({"name": "called away"}))
        .await
        .unwrap();
    let configs = ConfigsDir::new().unwrap();
    let env = [
        ("CANDOR_EXECUTOR", "command"),
        ("CANDOR_COMMAND", "sleep 1"),
    ];
    let mut agent = binaries()
        .workspace(candor.http(), &id, &configs, &env)
        .await
        .unwrap();
    heard_after(&candor, &id, None).await;
    let address = candor.http();
    let asked = {
        let id = id.clone();
        tokio::spawn(async move { chat(&mut Client::new(address), &id, "wait").await })
    };
    let begun = |workspace: &Workspace| workspace.turn_progress.as_ref().map(|p| p.begun);
    wait_for("the turn", SOON, || async {
        let workspace = seen(&candor, &id).await;
        (begun(&workspace) == Some(1) && workspace.active_tasks == 1).then_some(())
    })
    .await
    .unwrap();
    let status = agent.process().stop(SOON);
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    let answer = asked.await.unwrap().unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let left = seen(&candor, &id).await;
    let progress = left.turn_progress.unwrap();
    assert_eq!(
        (left.active_tasks, progress.begun, progress.answered),
        (0, 1, 1)
    );
}
