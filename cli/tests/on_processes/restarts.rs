//! Restarts, of an agent that caches its token, never retries, and beats every 100 ms.

use candor_testkit::wait::wait_for;

use crate::world::{SOON, World};

#[tokio::test]
async fn fifty_restarts_of_a_process_without_a_single_401() {
    let world = World::new("beater").await;
    let id = world.create("beater").await;
    world.runs(&id, 1).await;
    for epoch in 2..=51 {
        // What an instance said is kept for one more only.
        heard(&world, &id);
        world.restart(&id).await;
        assert_eq!(world.runs(&id, epoch).await, epoch);
    }
    heard(&world, &id);
    // Its work outlived every instance.
    assert_eq!(world.starts(&id), 51);
}

/// This instance and the one before registered, and nobody was refused anything.
fn heard(world: &World, id: &str) {
    let log = world.log(id);
    assert!(log.contains("register 200"), "{log}");
    let (_, ill) = world.answers(id);
    assert!(ill.is_empty(), "{ill:?}");
}

#[tokio::test]
async fn an_instance_outlives_the_platform_and_is_known_to_the_next() {
    let mut world = World::new("beater").await;
    let id = world.create("beater").await;
    world.runs(&id, 1).await;
    let before = world.processes(&id);
    let address = world.address();
    world.kill9();
    world.up(&address, "").await;
    let (earlier, _) = world.answers(&id);
    wait_for("thirty beats to the next platform", SOON, || async {
        (world.answers(&id).0 > earlier + 30).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(world.processes(&id), before);
    assert_eq!(world.runs(&id, 1).await, 1);
    let log = world.log(&id);
    assert!(!log.contains(" 401"), "{log}");
}

#[tokio::test]
async fn a_killed_instance_is_replaced() {
    let world = World::new("beater").await;
    let id = world.create("beater").await;
    world.runs(&id, 1).await;
    world.kill_instances(&id);
    assert_eq!(world.runs(&id, 2).await, 2);
}
