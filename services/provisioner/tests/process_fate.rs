//! What becomes of processes when platforms die, and that nobody else's is touched.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod conformance;
mod processes;

use std::fs;
use std::process::Command;
use std::time::Duration;

use candor_kernel::{Epoch, WorkspaceId};
use candor_provisioner::backend::process::ProcessBackend;
use candor_provisioner::backend::{Backend as _, BackendError, Observed, Plan};
use candor_testkit::process::{Process, is_alive};
use candor_testkit::wait::wait_until;
use conformance::inside::program;
use conformance::{
    GRACE, Place, SOON, Unheard, World as _, a_workspace, exited, hash, plan, provision, running,
    set, text,
};
use processes::{Bystander, Processes};
use serde_json::{Value, json};

fn note(world: &Processes, workspace: WorkspaceId) -> Value {
    let text = fs::read(world.place(workspace).join("instance.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn rewrite(world: &Processes, workspace: WorkspaceId, note: &Value) {
    let path = world.place(workspace).join("instance.json");
    fs::write(path, note.to_string()).unwrap();
}

fn unavailable<T: std::fmt::Debug>(outcome: Result<T, BackendError>, names: &str) {
    match outcome {
        Err(BackendError::Unavailable(why)) => assert!(why.contains(names), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_instance_outlives_a_killed_platform_and_the_next_one_has_it() {
    let world = Processes::new();
    let workspace = a_workspace();
    let mut platform = Command::new(program().with_file_name("process_platform"));
    platform
        .arg(&world.settings.root)
        .arg(&world.settings.program)
        .arg(&world.settings.installation)
        .arg(workspace.to_string());
    let mut platform = Process::start("platform", platform, SOON).await.unwrap();
    let first = world.process(workspace);
    platform.kill9();
    let seen = world.backend.observe(workspace).await.unwrap();
    let Observed::Running { epoch, url } = seen else {
        panic!("{seen:?}");
    };
    assert_eq!(epoch, Epoch(1));
    assert!(world.answers(&url.unwrap()).await);
    assert_eq!(world.process(workspace), first);
    // It can still say something, and how it ended is not invented.
    world.kill(workspace).await;
    let why = exited(&world.backend, workspace, epoch).await;
    assert!(why.contains("not seen"), "{why}");
    running(&world, &plan(&world, workspace, 2)).await;
    world.backend.stop(workspace, GRACE).await.unwrap();
    assert_eq!(world.instances(workspace).await, 0);
}

#[tokio::test]
async fn a_platform_killed_before_it_noted_the_process_leaves_one_that_is_found() {
    let world = Processes::new();
    let plan = plan(&world, a_workspace(), 1);
    running(&world, &plan).await;
    let process = world.process(plan.workspace);
    let mut as_left = note(&world, plan.workspace);
    as_left["process"] = Value::Null;
    as_left["url"] = Value::Null;
    for adopt in [true, false] {
        rewrite(&world, plan.workspace, &as_left);
        let later = ProcessBackend::new(world.settings.clone());
        let seen = later.observe(plan.workspace).await.unwrap();
        assert!(matches!(seen, Observed::Running { .. }), "{seen:?}");
        if adopt {
            assert_eq!(later.start(&plan, &Unheard).await, Ok(seen));
            assert_eq!(world.process(plan.workspace), process);
            let noted = &note(&world, plan.workspace)["process"]["pid"];
            assert_eq!(*noted, json!(process));
        } else {
            later.stop(plan.workspace, GRACE).await.unwrap();
            assert!(!is_alive(process));
        }
    }
    // Killed before anything was started.
    rewrite(&world, plan.workspace, &as_left);
    let seen = world.backend.observe(plan.workspace).await;
    assert_eq!(seen, Ok(Observed::NotFound));
    world.backend.start(&plan, &Unheard).await.unwrap();
    assert_eq!(world.instances(plan.workspace).await, 1);
}

#[tokio::test]
async fn a_process_that_has_the_number_of_an_instance_by_now_is_not_touched() {
    let world = Processes::new();
    let plan = plan(&world, a_workspace(), 1);
    running(&world, &plan).await;
    world.kill(plan.workspace).await;
    exited(&world.backend, plan.workspace, plan.epoch).await;
    let mut bystander = Bystander::new();
    let own_start = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let (_, rest) = stat.rsplit_once(')').unwrap();
        let field = rest.split_whitespace().nth(19).unwrap();
        field.parse::<u64>().unwrap()
    };
    let started = own_start(bystander.pid());
    for (number, boot) in [(started - 1, None), (started, Some("an earlier start"))] {
        let mut reused = note(&world, plan.workspace);
        reused["process"]["pid"] = json!(bystander.pid());
        reused["process"]["started"] = json!(number);
        if let Some(boot) = boot {
            reused["process"]["boot"] = json!(boot);
        }
        rewrite(&world, plan.workspace, &reused);
        let why = exited(&world.backend, plan.workspace, plan.epoch).await;
        assert_eq!(why.contains("machine"), boot.is_some(), "{why}");
        world.backend.stop(plan.workspace, GRACE).await.unwrap();
        assert!(bystander.lives());
        rewrite(&world, plan.workspace, &reused);
    }
}

#[tokio::test]
async fn what_left_the_group_and_the_session_ends_with_its_instance() {
    let world = Processes::new();
    let mut plan = plan(&world, a_workspace(), 1);
    set(&mut plan, "STAND_IN_CHILD", "1");
    running(&world, &plan).await;
    let both = || world.marked(Some(plan.workspace));
    assert!(wait_until(SOON, || both().len() == 2).await, "{:?}", both());
    let all = both();
    world.backend.stop(plan.workspace, GRACE).await.unwrap();
    assert!(all.iter().all(|pid| !is_alive(*pid)));

    // Also what an instance left that was killed.
    plan.epoch = Epoch(2);
    running(&world, &plan).await;
    assert!(wait_until(SOON, || both().len() == 2).await, "{:?}", both());
    world.kill(plan.workspace).await;
    exited(&world.backend, plan.workspace, plan.epoch).await;
    assert_eq!(both().len(), 1);
    world.backend.stop(plan.workspace, GRACE).await.unwrap();
    assert!(both().is_empty());
}

#[tokio::test]
async fn a_broken_note_hides_nothing_from_a_stop() {
    let world = Processes::new();
    let plan = plan(&world, a_workspace(), 1);
    running(&world, &plan).await;
    rewrite(&world, plan.workspace, &json!("nonsense"));
    unavailable(world.backend.observe(plan.workspace).await, "line 1");
    unavailable(world.backend.list().await, "line 1");
    world.backend.stop(plan.workspace, GRACE).await.unwrap();
    assert_eq!(world.instances(plan.workspace).await, 0);
    let seen = world.backend.observe(plan.workspace).await;
    assert_eq!(seen, Ok(Observed::NotFound));
}

#[tokio::test]
async fn a_folder_that_is_gone_is_no_proof_that_nothing_runs() {
    let world = Processes::new();
    let plan = plan(&world, a_workspace(), 1);
    running(&world, &plan).await;
    let away = world.folder.path().join("away");
    fs::rename(&world.settings.root, &away).unwrap();
    let unknown = world.backend.observe(plan.workspace).await;
    unavailable(unknown, "folder is gone");
    let other = world.backend.observe(a_workspace()).await;
    assert_eq!(other, Ok(Observed::NotFound));
    fs::rename(&away, &world.settings.root).unwrap();
    let seen = world.backend.observe(plan.workspace).await.unwrap();
    assert!(matches!(seen, Observed::Running { .. }), "{seen:?}");
    fs::rename(&world.settings.root, &away).unwrap();
    world.backend.stop(plan.workspace, GRACE).await.unwrap();
    assert_eq!(world.instances(plan.workspace).await, 0);
}

#[tokio::test]
async fn two_platforms_that_start_one_instance_start_one() {
    let world = Processes::new();
    for epoch in 1..=5 {
        let plan = plan(&world, a_workspace(), epoch);
        world.backend.write(&plan).await.unwrap();
        let other = ProcessBackend::new(world.settings.clone());
        let (one, two) = tokio::join!(
            world.backend.start(&plan, &Unheard),
            other.start(&plan, &Unheard)
        );
        assert_eq!(one.unwrap(), two.unwrap());
        assert_eq!(world.instances(plan.workspace).await, 1);
    }
}

#[tokio::test]
async fn an_instance_that_is_never_ready_is_starting_until_it_is_stopped() {
    let world = Processes::with(|settings| settings.ready_within = Duration::from_millis(300));
    let mut plan = plan(&world, a_workspace(), 1);
    set(&mut plan, "STAND_IN_MUTE", "1");
    world.backend.write(&plan).await.unwrap();
    unavailable(world.backend.start(&plan, &Unheard).await, "ready");
    let epoch = plan.epoch;
    let seen = world.backend.observe(plan.workspace).await;
    assert_eq!(seen, Ok(Observed::Starting { epoch }));
    assert_eq!(world.instances(plan.workspace).await, 1);
    world.backend.stop(plan.workspace, GRACE).await.unwrap();
    assert_eq!(world.instances(plan.workspace).await, 0);
}

/// A platform that is behind, or that could not end the old instance.
#[tokio::test]
async fn instances_of_two_epochs_do_not_meet() {
    let world = Processes::new();
    let workspace = a_workspace();
    let (old, new) = (plan(&world, workspace, 1), plan(&world, workspace, 2));
    let backend = &world.backend;
    unavailable(backend.start(&old, &Unheard).await, "written");
    running(&world, &old).await;
    unavailable(backend.write(&new).await, "stopped first");
    unavailable(backend.start(&new, &Unheard).await, "stopped before");
    let token = text(&world, workspace, Place::Configs, conformance::TOKEN).await;
    assert_eq!(token, old.token.expose());
    unavailable(
        backend
            .remove(workspace, candor_provisioner::backend::Remove::Everything)
            .await,
        "stopped first",
    );
    backend.stop(workspace, GRACE).await.unwrap();
    backend.write(&new).await.unwrap();
    unavailable(backend.write(&old).await, "older");
    unavailable(backend.start(&old, &Unheard).await, "written");
    let written = backend.written_token(workspace, new.epoch).await;
    assert_eq!(written, Ok(Some(hash(&new))));
    assert_eq!(world.instances(workspace).await, 0);
}

#[tokio::test]
async fn many_start_at_once_each_for_itself() {
    let world = Processes::new();
    let plans: Vec<Plan> = (0..20).map(|_| plan(&world, a_workspace(), 1)).collect();
    let started = plans.iter().map(|plan| provision(&world, plan));
    let mut seen = futures::future::join_all(started).await;
    let mut urls: Vec<String> = seen
        .drain(..)
        .map(|observed| match observed {
            Observed::Running { url: Some(url), .. } => url,
            other => panic!("{other:?}"),
        })
        .collect();
    urls.sort();
    urls.dedup();
    assert_eq!(urls.len(), plans.len());
    let listed = world.backend.list().await.unwrap();
    assert_eq!(listed.len(), plans.len());
    let stops = plans
        .iter()
        .map(|plan| world.backend.stop(plan.workspace, GRACE));
    for stopped in futures::future::join_all(stops).await {
        stopped.unwrap();
    }
    assert!(world.marked(None).is_empty());
}

#[tokio::test]
async fn a_step_that_is_done_elsewhere_is_waited_for() {
    let world = Processes::new();
    let plan = plan(&world, a_workspace(), 1);
    world.backend.write(&plan).await.unwrap();
    let lock = fs::File::open(world.place(plan.workspace)).unwrap();
    lock.lock().unwrap();
    let starting = world.backend.start(&plan, &Unheard);
    tokio::pin!(starting);
    let early = tokio::time::timeout(Duration::from_millis(100), &mut starting).await;
    assert!(early.is_err(), "{early:?}");
    assert_eq!(world.instances(plan.workspace).await, 0);
    drop(lock);
    let started = tokio::time::timeout(SOON, starting).await.unwrap();
    assert!(
        matches!(started, Ok(Observed::Running { .. })),
        "{started:?}"
    );
}
