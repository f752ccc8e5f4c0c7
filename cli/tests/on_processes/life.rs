//! The honest agent itself as an instance, from its creation to its removal.

use candor_testkit::http::Call;
use candor_testkit::wait::wait_for;

use crate::world::{SOON, World};

#[tokio::test]
async fn a_workspace_from_its_creation_to_its_removal() {
    let world = World::new("candor-workspace").await;
    let id = world.create("Echo").await;
    world.becomes(&id, "online").await;
    let answer = world.chat(&id, "hello").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("hello"), "{}", answer.text());

    let paused = world.post(&format!("/workspaces/{id}/pause")).await;
    assert_eq!(paused.status, 200, "{}", paused.text());
    wait_for("the process to end", SOON, || async {
        world.processes(&id).is_empty().then_some(())
    })
    .await
    .unwrap();
    assert_eq!(world.chat(&id, "x").await.status, 503);
    let resumed = world.post(&format!("/workspaces/{id}/resume")).await;
    assert_eq!(resumed.status, 200, "{}", resumed.text());
    world.becomes(&id, "online").await;

    let hibernated = world.post(&format!("/workspaces/{id}/hibernate")).await;
    assert_eq!(hibernated.status, 200, "{}", hibernated.text());
    assert!(world.processes(&id).is_empty(), "before it was answered");
    world.becomes(&id, "hibernated").await;
    let waking = world.chat(&id, "wake up").await;
    assert_eq!(waking.status, 503, "{}", waking.text());
    assert_eq!(waking.json()["waking"], true);
    world.becomes(&id, "online").await;
    let awake = world.chat(&id, "awake").await;
    assert!(awake.text().contains("awake"), "{}", awake.text());

    let work = world.place(&id).join("workspace/work");
    std::fs::write(&work, "done").unwrap();
    let delete = Call::new(http::Method::DELETE, format!("/workspaces/{id}"));
    let deleted = world.send(delete).await;
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    assert!(world.processes(&id).is_empty(), "before it was answered");
    assert!(!world.place(&id).join("configs").exists());
    assert!(
        world.place(&id).join("workspace").exists(),
        "its work stays"
    );
}
