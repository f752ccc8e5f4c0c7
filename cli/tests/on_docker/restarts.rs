//! Restarts on a real engine, of an agent that caches its token, never retries, and beats
//! every 100 ms.

use candor_testkit::http::Call;
use candor_testkit::wait::wait_for;
use serde_json::json;

use crate::answers::{Answers, Log};
use crate::engine::{SOON, World, container, docker, try_docker};

#[tokio::test]
async fn fifty_restarts_of_a_container_without_a_single_401() {
    let Some(world) = World::new().await else {
        return;
    };
    let id = world.create(&json!({"name": "w", "tier": 2})).await;
    world.runs(&id, 1).await;
    for epoch in 2..=51 {
        let log = Log::of(&id);
        world.restart(&id).await;
        world.runs(&id, epoch).await;
        // To its last word, which it said with an old token.
        log.ended().await.assert_well();
    }
    Answers::now(&id).assert_well();
    let filter = format!("label=candor.workspace={id}");
    let all = docker(&["ps", "-aq", "--filter", &filter]);
    assert_eq!(all.lines().count(), 1, "{all}");
    let failed = format!(
        "SELECT count(*)::text FROM provisioner.steps WHERE workspace_id = '{id}' AND outcome = 'failed'"
    );
    assert_eq!(world.text(&failed).await, "0");
    // Its work outlived every instance.
    assert_eq!(world.starts(&id), 51);
}

#[tokio::test]
async fn a_container_that_is_removed_behind_its_back_is_replaced() {
    let Some(world) = World::new().await else {
        return;
    };
    let id = world.create(&json!({"name": "w", "tier": 2})).await;
    world.runs(&id, 1).await;
    docker(&["rm", "-f", &container(&id)]);
    world.runs(&id, 2).await;
    Answers::now(&id).assert_well();
    assert_eq!(world.starts(&id), 2);
}

/// Recorded from the original: its helper image was not on the engine, so the new token
/// was never written, and the restarted agent read the old one, which was revoked. It got
/// 401 on every beat for ever, and stood as provisioning though it ran.
#[tokio::test]
async fn a_restart_without_a_helper_image_never_leaves_an_agent_with_401_on_every_beat() {
    // Long enough for an instance to call.
    let settings = [("CANDOR_PROVISION_TIMEOUT", "15s")];
    let Some(world) = World::with(&settings).await else {
        return;
    };
    let id = world.create(&json!({"name": "w", "tier": 2})).await;
    world.runs(&id, 1).await;
    if std::env::var("CANDOR_TEST_DOCKER_PIDFILE").is_ok() {
        assert!(try_docker(&["image", "inspect", "alpine"]).is_none());
    }
    world.restart(&id).await;
    world.runs(&id, 2).await;
    Answers::now(&id).assert_well();

    // Without the agent's own image there is nothing to write through: nothing runs, and
    // it is said why.
    world.lose_the_image();
    let log = Log::of(&id);
    world.restart(&id).await;
    world.becomes(&id, "failed").await;
    log.ended().await.assert_well();
    let runs = docker(&[
        "ps",
        "-q",
        "--filter",
        &format!("label=candor.workspace={id}"),
    ]);
    assert_eq!(runs, "", "nothing runs that was not handed its token");
    let told = world.send(Call::get(format!("/events/{id}"))).await;
    let told = told.text();
    let failed = told.contains("WORKSPACE_PROVISION_FAILED") && told.contains(&world.image);
    assert!(failed, "{told}");

    world.bring_the_image();
    wait_for("a restart", SOON, || async {
        let call = Call::post(format!("/workspaces/{id}/restart"), &json!({}));
        (world.send(call).await.status == 200).then_some(())
    })
    .await
    .unwrap();
    let fence =
        format!("SELECT fence_epoch::text FROM registry.workspace_vitals WHERE id = '{id}'");
    let fence = world.text(&fence).await.parse().unwrap();
    world.runs(&id, fence).await;
    Answers::now(&id).assert_well();
}
