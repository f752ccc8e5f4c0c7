//! The platform ends as by `kill -9` between every two steps of a reconciliation, and the
//! next one makes of it what was wanted: no orphan, no lost work, no double instance.

use candor_testkit::http::{Call, Client};
use candor_testkit::postgres;
use candor_testkit::wait::wait_for;
use serde_json::json;

use crate::world::{SOON, World};

/// A workspace that runs, and no platform; where its instance looks for one.
async fn left_alone() -> (World, String, String) {
    let mut world = World::new("beater").await;
    let id = world.create("w").await;
    world.runs(&id, 1).await;
    let address = world.address();
    world.stop();
    (world, id, address)
}

/// Asks a platform that ends itself at this place, until it has: it may end before it
/// answers, and may refuse while it is hardly up.
async fn crashed(world: &mut World, address: &str, place: &str, call: Option<Call>) {
    world.up(address, place).await;
    if let Some(call) = call {
        let http = world.platform().http();
        wait_for("the call to be taken, or the end", SOON, || async {
            match Client::new(http).send(call.clone()).await {
                Ok(answer) if answer.status == 503 => None,
                _ => Some(()),
            }
        })
        .await
        .unwrap();
    }
    world.ended(place).await;
}

async fn restarts_converge(places: &[&str]) {
    let (mut world, id, address) = left_alone().await;
    let mut epoch = 1;
    for place in places {
        let starts = world.starts(&id);
        let call = Call::post(format!("/workspaces/{id}/restart"), &json!({}));
        crashed(&mut world, &address, place, Some(call)).await;
        world.up(&address, "").await;
        epoch = world.runs(&id, epoch + 1).await;
        assert!(world.starts(&id) > starts, "{place}: its work is lost");
        let log = world.log(&id);
        assert!(!log.contains(" 401"), "{place}: {log}");
        world.stop();
    }
}

#[tokio::test]
async fn killed_while_a_wish_is_taken_over() {
    restarts_converge(&["adopted", "taken", "leased", "stopped"]).await;
}

#[tokio::test]
async fn killed_while_a_token_is_handed_over() {
    restarts_converge(&["issued", "prepared", "written", "read_back", "verified"]).await;
}

#[tokio::test]
async fn killed_while_an_instance_starts() {
    restarts_converge(&["started", "noted"]).await;
}

#[tokio::test]
async fn killed_while_a_lost_instance_is_replaced() {
    let (mut world, id, address) = left_alone().await;
    for place in ["spent", "restarted"] {
        world.kill_instances(&id);
        crashed(&mut world, &address, place, None).await;
        world.up(&address, "").await;
        world.runs(&id, 2).await;
        world.stop();
    }
}

#[tokio::test]
async fn killed_while_a_workspace_is_removed() {
    for place in ["adopted", "stopped", "removed"] {
        let (mut world, id, address) = left_alone().await;
        let call = Call::new(http::Method::DELETE, format!("/workspaces/{id}"));
        crashed(&mut world, &address, place, Some(call)).await;
        world.up(&address, "").await;
        let left =
            format!("SELECT count(*)::text FROM provisioner.instances WHERE workspace_id = '{id}'");
        let database = world.platform().database_url();
        postgres::becomes(&database, &left, "0").await.unwrap();
        assert!(world.processes(&id).is_empty(), "{place}");
        assert!(!world.place(&id).join("configs").exists(), "{place}");
        assert!(world.starts(&id) > 0, "{place}: its work is lost");
    }
}
