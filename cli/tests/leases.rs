//! Leases: silence ends in offline, beats keep alive, a restart of Candor
//! neither loses nor extends a lease, and who never beat is not swept.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use candor_testkit::agent::{FakeAgent, Mood};
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::{Binaries, DataDir};
use candor_testkit::postgres;
use candor_testkit::wait::{TimedOut, wait_for};
use serde_json::json;

async fn status(url: &str, id: &str) -> String {
    let query = format!("SELECT status::text FROM workspaces WHERE id = '{id}'");
    postgres::text(url, &query).await.unwrap()
}

async fn offline_events(url: &str, id: &str) -> i64 {
    let query = format!(
        "SELECT count(*) FROM structure_events
         WHERE workspace_id = '{id}' AND event_type = 'WORKSPACE_OFFLINE'"
    );
    postgres::count(url, &query).await.unwrap()
}

async fn offline(url: &str, id: &str, within: Duration) -> Result<(), TimedOut> {
    wait_for("the silent agent to be offline", within, || async {
        (status(url, id).await == "offline").then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_silent_turn_offline_and_the_others_do_not() {
    let data = DataDir::new().unwrap();
    let leases = [("CANDOR_LEASE_TTL", "2s"), ("CANDOR_LEASE_GRACE", "1s")];
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &leases).await.unwrap();
    let url = candor.database_url();
    let mut client = Client::new(candor.http());
    let mut silent = FakeAgent::enrolled(&mut client, "silent").await.unwrap();
    let mut steady = FakeAgent::enrolled(&mut client, "steady").await.unwrap();
    let body = json!({"name": "never beat", "external": true, "url": "http://localhost:9"});
    let never = client.send(Call::post("/workspaces", &body)).await.unwrap();
    let never = never.json()["id"].as_str().unwrap().to_owned();
    silent.beat(&mut client).await.unwrap();
    steady.beat(&mut client).await.unwrap();
    silent.mood = Mood::Silent;

    for _ in 0..60 {
        steady.beat(&mut client).await.unwrap();
        let gone = offline(&url, &silent.id, Duration::from_millis(200)).await;
        if gone.is_ok() {
            break;
        }
    }

    assert_eq!(status(&url, &silent.id).await, "offline");
    assert_eq!(offline_events(&url, &silent.id).await, 1);
    assert_eq!(status(&url, &steady.id).await, "online");
    assert_eq!(status(&url, &never).await, "online", "it never had a lease");
    silent.mood = Mood::Healthy;
    silent.beat(&mut client).await.unwrap();
    assert_eq!(
        status(&url, &silent.id).await,
        "online",
        "a beat brings it back"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_candor_neither_loses_nor_extends_a_lease() {
    let data = DataDir::new().unwrap();
    let leases = [("CANDOR_LEASE_TTL", "4s"), ("CANDOR_LEASE_GRACE", "2s")];
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let mut candor = binaries.up(&data, &leases).await.unwrap();
    let mut client = Client::new(candor.http());
    let mut agent = FakeAgent::enrolled(&mut client, "leased").await.unwrap();
    agent.beat(&mut client).await.unwrap();
    let lease = format!(
        "SELECT lease_until::text FROM registry.workspace_vitals WHERE id = '{}'",
        agent.id
    );
    let before = postgres::text(&candor.database_url(), &lease)
        .await
        .unwrap();
    candor.process().kill9();

    let candor = binaries.up(&data, &leases).await.unwrap();
    let url = candor.database_url();
    assert_eq!(postgres::text(&url, &lease).await.unwrap(), before);
    assert!(!before.is_empty());
    offline(&url, &agent.id, Duration::from_secs(20))
        .await
        .unwrap();
    // The event's time is Postgres', and so is the lease's.
    let early = format!(
        "SELECT count(*) FROM structure_events e JOIN registry.workspace_vitals v
         ON v.id = e.workspace_id WHERE e.workspace_id = '{}'
         AND e.event_type = 'WORKSPACE_OFFLINE'
         AND e.created_at < v.lease_until + interval '2 seconds'",
        agent.id
    );
    assert_eq!(postgres::count(&url, &early).await.unwrap(), 0, "too early");
    assert_eq!(offline_events(&url, &agent.id).await, 1);
}
