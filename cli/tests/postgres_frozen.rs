//! A Postgres that holds its connections and answers nothing: every route says
//! 503 in time, it recovers by itself, and the process can still be ended.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use candor_testkit::agent::FakeAgent;
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::{Binaries, DataDir, Platform};
use candor_testkit::postgres::Postgres;
use candor_testkit::wait::wait_for;
use futures::future::join_all;
use http::Method;
use serde_json::json;

/// Two seconds, and what scheduling may add.
const IN_TIME: Duration = Duration::from_millis(2_800);

fn calls(agent: &FakeAgent) -> Vec<Call> {
    let id = &agent.id;
    let beat = json!({"workspace_id": id, "uptime_seconds": 9});
    let row = json!({"activity_type": "agent_log"});
    let words = json!({"message": "hello"});
    let register = json!({"id": id, "url": "http://localhost:1", "agent_card": {}});
    vec![
        Call::get("/workspaces"),
        Call::get(format!("/workspaces/{id}")),
        Call::get(format!("/workspaces/{id}/state")).bearer(&agent.token),
        Call::get(format!("/workspaces/{id}/budget")),
        Call::get("/events"),
        Call::get("/canvas/viewport"),
        Call::get(format!("/registry/{id}/peers")),
        Call::post("/workspaces", &json!({"name": "x"})),
        Call::new(Method::DELETE, format!("/workspaces/{id}")),
        Call::get(format!("/workspaces/{id}/activity")),
        Call::get(format!("/workspaces/{id}/session-search?q=x")),
        Call::post(format!("/workspaces/{id}/activity"), &row).bearer(&agent.token),
        Call::post(format!("/workspaces/{id}/notify"), &words).bearer(&agent.token),
        Call::post("/registry/register", &register).bearer(&agent.token),
        Call::post("/registry/heartbeat", &beat).bearer(&agent.token),
        // A bearer that was never seen: nobody is let in on a guess.
        Call::get("/workspaces").bearer("never-seen-before"),
        Call::post("/registry/heartbeat", &beat).bearer("nor-this-one"),
    ]
}

/// Asks everything at once; what was wrong with the answers.
async fn refused_in_time(candor: &Platform, agent: &FakeAgent) -> Vec<String> {
    let asked = calls(agent)
        .into_iter()
        .enumerate()
        .map(|(n, call)| async move {
            let started = Instant::now();
            let answer = Client::new(candor.http()).send(call).await;
            let took = started.elapsed();
            let status = answer.as_ref().map_or(0, |answer| answer.status);
            (status != 503 || took > IN_TIME).then(|| format!("call {n}: {status} after {took:?}"))
        });
    join_all(asked).await.into_iter().flatten().collect()
}

async fn answers(candor: &Platform) {
    wait_for("an answer", Duration::from_secs(10), || async {
        let list = Client::new(candor.http())
            .send(Call::get("/workspaces"))
            .await;
        (list.ok()?.status == 200).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_postgres_is_503_on_every_route_and_keeps_no_process() {
    let postgres = Postgres::start_new().await.unwrap();
    let url = postgres.create_database().await.unwrap();
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let settings = [
        ("DATABASE_URL", url.as_str()),
        ("CANDOR_DRAIN_DEADLINE", "3s"),
    ];
    let mut candor = binaries.up(&data, &settings).await.unwrap();
    let mut client = Client::new(candor.http());
    let mut agent = FakeAgent::enrolled(&mut client, "frozen").await.unwrap();
    agent.beat(&mut client).await.unwrap();

    postgres.freeze();
    let wrong = refused_in_time(&candor, &agent).await;
    postgres.thaw();
    assert!(wrong.is_empty(), "{wrong:#?}");
    answers(&candor).await;

    postgres.freeze();
    let status = candor.process().stop(Duration::from_secs(18));
    postgres.thaw();
    assert!(status.is_some(), "still running");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_with_gateway_and_registry_apart() {
    let postgres = Postgres::start_new().await.unwrap();
    let url = postgres.create_database().await.unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    binaries.migrate(&url).unwrap();
    let registry = binaries.registry(&url, &[]).await.unwrap();
    let log = binaries.activity_log(&url, registry.grpc(), &[]).await;
    let log = log.unwrap();
    let address = format!("http://{}", log.grpc());
    let env = [("CANDOR_ACTIVITY_LOG", address.as_str())];
    let gateway = binaries.gateway(registry.grpc(), &env).await.unwrap();
    let mut client = Client::new(gateway.http());
    let mut agent = FakeAgent::enrolled(&mut client, "apart").await.unwrap();
    agent.beat(&mut client).await.unwrap();

    postgres.freeze();
    let wrong = refused_in_time(&gateway, &agent).await;
    postgres.thaw();
    assert!(wrong.is_empty(), "{wrong:#?}");
    answers(&gateway).await;
}
