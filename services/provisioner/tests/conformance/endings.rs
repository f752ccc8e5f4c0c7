//! How instances end.

use std::time::{Duration, Instant};

use candor_provisioner::backend::Observed;
use candor_testkit::wait::wait_for;

use super::{
    DEAF, ENDS, GRACE, Place, SOON, STARTS, WORDS, World, a_workspace, exited, plan, provision,
    running, set, text, tidy,
};

pub async fn a_stop_is_final_and_may_be_repeated(world: &dyn World) {
    let (backend, workspace) = (world.backend(), a_workspace());
    let plan = plan(world, workspace, 1);
    let url = running(world, &plan).await;
    for _ in 0..2 {
        backend.stop(workspace, GRACE).await.unwrap();
        assert_eq!(backend.observe(workspace).await, Ok(Observed::NotFound));
        assert_eq!(world.instances(workspace).await, 0);
        assert!(!world.answers(&url).await);
    }
    let listed = backend.list().await.unwrap();
    let runs = listed
        .iter()
        .any(|found| found.workspace == workspace && found.observed != Observed::NotFound);
    assert!(!runs, "{listed:?}");
    tidy(world, workspace).await;
}

pub async fn an_instance_that_does_not_hear_is_killed(world: &dyn World) {
    let (backend, workspace) = (world.backend(), a_workspace());
    let mut plan = plan(world, workspace, 1);
    set(&mut plan, DEAF, "1");
    running(world, &plan).await;
    let begun = Instant::now();
    let grace = Duration::from_secs(1);
    backend.stop(workspace, grace).await.unwrap();
    assert!(begun.elapsed() < SOON / 2, "{:?}", begun.elapsed());
    assert_eq!(backend.observe(workspace).await, Ok(Observed::NotFound));
    assert_eq!(world.instances(workspace).await, 0);
    tidy(world, workspace).await;
}

pub async fn an_end_is_seen_with_its_reason(world: &dyn World) {
    let (backend, workspace) = (world.backend(), a_workspace());
    let mut plan = plan(world, workspace, 4);
    set(&mut plan, ENDS, "23");
    set(&mut plan, WORDS, "the disk is full of llamas");
    let said = provision(world, &plan).await;
    assert_ne!(said, Observed::NotFound);
    let why = exited(backend, workspace, plan.epoch).await;
    assert!(why.contains("23"), "{why}");
    assert!(why.contains("llamas"), "{why}");
    assert!(why.len() <= 8 * 1024, "{} bytes", why.len());
    // It stays to be looked at until it is stopped.
    let listed = backend.list().await.unwrap();
    let found = listed.iter().find(|found| found.workspace == workspace);
    assert!(matches!(
        found.map(|found| &found.observed),
        Some(Observed::Exited { .. })
    ));
    backend.stop(workspace, GRACE).await.unwrap();
    assert_eq!(backend.observe(workspace).await, Ok(Observed::NotFound));
    tidy(world, workspace).await;
}

pub async fn a_crash_loop_is_one_instance_at_a_time(world: &dyn World) {
    let (backend, workspace) = (world.backend(), a_workspace());
    for epoch in 1..=3 {
        let mut plan = plan(world, workspace, epoch);
        set(&mut plan, ENDS, "1");
        provision(world, &plan).await;
        exited(backend, workspace, plan.epoch).await;
        assert_eq!(world.instances(workspace).await, 0);
        backend.stop(workspace, GRACE).await.unwrap();
        assert_eq!(backend.observe(workspace).await, Ok(Observed::NotFound));
    }
    running(world, &plan(world, workspace, 4)).await;
    let starts = text(world, workspace, Place::Workspace, STARTS).await;
    assert_eq!(starts.lines().count(), 4, "nobody else starts it: {starts}");
    tidy(world, workspace).await;
}

pub async fn an_instance_killed_from_outside_does_not_run(world: &dyn World) {
    let (backend, workspace) = (world.backend(), a_workspace());
    let first = plan(world, workspace, 1);
    running(world, &first).await;
    world.kill(workspace).await;
    let gone = wait_for("the end to be seen", SOON, || async {
        match backend.observe(workspace).await.unwrap() {
            Observed::Running { .. } | Observed::Starting { .. } => None,
            gone => Some(gone),
        }
    });
    if let Observed::Exited { epoch, why } = gone.await.unwrap() {
        assert_eq!(epoch, first.epoch);
        assert!(!why.is_empty());
    }
    backend.stop(workspace, GRACE).await.unwrap();
    assert_eq!(backend.observe(workspace).await, Ok(Observed::NotFound));
    let url = running(world, &plan(world, workspace, 2)).await;
    assert!(world.answers(&url).await);
    assert_eq!(world.instances(workspace).await, 1);
    tidy(world, workspace).await;
}

pub async fn an_instance_that_never_started_can_be_stopped(world: &dyn World) {
    let (backend, workspace) = (world.backend(), a_workspace());
    let plan = plan(world, workspace, 1);
    backend.write(&plan).await.unwrap();
    backend.stop(workspace, GRACE).await.unwrap();
    assert_eq!(backend.observe(workspace).await, Ok(Observed::NotFound));
    // A stop takes no configuration away: the next attempt writes its own.
    let next = super::plan(world, workspace, 2);
    let url = running(world, &next).await;
    assert!(world.answers(&url).await);
    tidy(world, workspace).await;
}
