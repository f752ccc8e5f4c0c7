//! Instances that run, and follow each other.

use candor_kernel::Epoch;
use candor_provisioner::backend::{Observed, Remove};

use super::{
    GRACE, Place, STARTS, TOKEN, Unheard, World, a_workspace, hash, plan, running, text, tidy,
};

pub async fn nothing_is_found_of_a_workspace_that_never_was(world: &dyn World) {
    let (backend, workspace) = (world.backend(), a_workspace());
    assert_eq!(backend.ready().await, Ok(()));
    assert_eq!(backend.observe(workspace).await, Ok(Observed::NotFound));
    assert_eq!(backend.written_token(workspace, Epoch(1)).await, Ok(None));
    assert_eq!(backend.stop(workspace, GRACE).await, Ok(()));
    assert_eq!(backend.remove(workspace, Remove::Configs).await, Ok(()));
    assert_eq!(backend.remove(workspace, Remove::Everything).await, Ok(()));
    let listed = backend.list().await.unwrap();
    assert!(listed.iter().all(|found| found.workspace != workspace));
}

pub async fn an_instance_runs_answers_and_is_not_made_twice(world: &dyn World) {
    let plan = plan(world, a_workspace(), 7);
    let url = running(world, &plan).await;
    assert!(world.answers(&url).await, "{url}");
    let seen = Observed::Running {
        epoch: plan.epoch,
        url: Some(url),
    };
    for _ in 0..2 {
        assert_eq!(
            world.backend().start(&plan, &Unheard).await.as_ref(),
            Ok(&seen)
        );
        assert_eq!(world.instances(plan.workspace).await, 1);
    }
    let starts = text(world, plan.workspace, Place::Workspace, STARTS).await;
    assert_eq!(starts.lines().count(), 1, "{starts}");
    let listed = world.backend().list().await.unwrap();
    let ours: Vec<_> = listed
        .iter()
        .filter(|found| found.workspace == plan.workspace)
        .collect();
    assert_eq!(ours.len(), 1, "{listed:?}");
    assert_eq!(ours[0].observed, seen);
    tidy(world, plan.workspace).await;
}

pub async fn an_instance_has_the_environment_of_its_plan_and_no_other(world: &dyn World) {
    let mut plan = plan(world, a_workspace(), 1);
    let odd = "a b\n\"c\" $HOME `id` 'd' ü \\";
    super::set(&mut plan, "ODD", odd);
    super::set(&mut plan, "EMPTY", "");
    running(world, &plan).await;
    let env = world.env(plan.workspace).await;
    for (name, value) in &plan.env {
        assert_eq!(
            env.get(name).map(String::as_str),
            Some(value.expose()),
            "{name}"
        );
    }
    // What runs the tests sets these for itself.
    let of_the_platform: Vec<_> = env
        .keys()
        .filter(|name| name.starts_with("CARGO") || name.starts_with("RUST"))
        .collect();
    assert!(of_the_platform.is_empty(), "{of_the_platform:?}");
    let token = plan.token.expose();
    let told: Vec<_> = env.iter().filter(|(_, value)| *value == token).collect();
    assert!(told.is_empty(), "the token is a file, no variable");
    tidy(world, plan.workspace).await;
}

pub async fn a_restarted_platform_finds_what_runs(world: &dyn World) {
    let plan = plan(world, a_workspace(), 3);
    let url = running(world, &plan).await;
    let later = world.again().await;
    let seen = Observed::Running {
        epoch: plan.epoch,
        url: Some(url),
    };
    assert_eq!(later.observe(plan.workspace).await.as_ref(), Ok(&seen));
    let written = later.written_token(plan.workspace, plan.epoch).await;
    assert_eq!(written, Ok(Some(hash(&plan))));
    assert_eq!(later.start(&plan, &Unheard).await.as_ref(), Ok(&seen));
    assert_eq!(world.instances(plan.workspace).await, 1);
    let listed = later.list().await.unwrap();
    assert!(listed.iter().any(|found| found.observed == seen));
    later.stop(plan.workspace, GRACE).await.unwrap();
    assert_eq!(world.instances(plan.workspace).await, 0);
    let observed = world.backend().observe(plan.workspace).await;
    assert_eq!(observed, Ok(Observed::NotFound));
    tidy(world, plan.workspace).await;
}

pub async fn a_restart_brings_the_new_token_and_keeps_the_work(world: &dyn World) {
    let (backend, workspace) = (world.backend(), a_workspace());
    let old = plan(world, workspace, 1);
    running(world, &old).await;
    let read = text(world, workspace, Place::Configs, TOKEN).await;
    assert_eq!(read.trim(), old.token.expose());
    world
        .leave(workspace, Place::Workspace, "work/day 1", "done")
        .await;
    world
        .leave(workspace, Place::Configs, "notes/mine.md", "kept")
        .await;
    world
        .leave(workspace, Place::Configs, "config.yaml", "broken: [")
        .await;
    backend.stop(workspace, GRACE).await.unwrap();

    let new = plan(world, workspace, 2);
    let url = running(world, &new).await;
    assert!(world.answers(&url).await);
    let read = text(world, workspace, Place::Configs, TOKEN).await;
    assert_eq!(read.trim(), new.token.expose());
    let of_the_old = backend.written_token(workspace, old.epoch).await.unwrap();
    assert_ne!(of_the_old, Some(hash(&old)), "the old token is still there");
    for (place, path, kept) in [
        (Place::Workspace, "work/day 1", "done"),
        (Place::Configs, "notes/mine.md", "kept"),
        (Place::Configs, "config.yaml", "name: 2\n"),
    ] {
        assert_eq!(text(world, workspace, place, path).await, kept, "{path}");
    }
    assert_eq!(world.instances(workspace).await, 1);
    tidy(world, workspace).await;
}

pub async fn a_session_is_kept_until_it_is_reset(world: &dyn World) {
    let workspace = a_workspace();
    let mut first = plan(world, workspace, 1);
    // The runtime that has a session.
    first.runtime = "candor-claude-code".to_owned();
    running(world, &first).await;
    let (session, path) = (Place::Session, "projects/a.jsonl");
    world.leave(workspace, session, path, "said").await;
    for (epoch, reset, kept) in [(2, false, "said"), (3, true, ""), (4, false, "")] {
        world.backend().stop(workspace, GRACE).await.unwrap();
        let mut next = plan(world, workspace, epoch);
        next.runtime = "candor-claude-code".to_owned();
        next.reset_session = reset;
        running(world, &next).await;
        let found = text(world, workspace, session, path).await;
        assert_eq!(found, kept, "epoch {epoch}");
    }
    let starts = text(world, workspace, Place::Workspace, STARTS).await;
    assert_eq!(starts.lines().count(), 4, "the work is no session");
    tidy(world, workspace).await;
}
