//! What a process has: its folders, its environment, its limits.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod conformance;
mod processes;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use candor_kernel::Epoch;
use candor_provisioner::backend::process::{ProcessBackend, ProcessSettings};
use candor_provisioner::backend::{Backend as _, BackendError, Mount, Observed, Remove, Tier};
use conformance::{
    GRACE, TOKEN, Unheard, World as _, a_workspace, config_file, hash, plan, running, set,
};
use processes::Processes;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn links_that_an_agent_left_lead_nowhere() {
    let world = Processes::new();
    let outside = world.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let theirs = outside.join("theirs.md");
    fs::write(&theirs, "theirs").unwrap();
    let mut first = plan(&world, a_workspace(), 1);
    first.files.push(config_file("skills/theirs.md", "ours"));
    world.backend.write(&first).await.unwrap();

    let place = world.place(first.workspace);
    let configs = place.join("configs");
    for (what, target) in [
        (configs.join("config.yaml"), &theirs),
        (configs.join(TOKEN), &theirs),
    ] {
        fs::remove_file(&what).unwrap();
        symlink(target, &what).unwrap();
    }
    fs::remove_dir_all(configs.join("skills")).unwrap();
    symlink(&outside, configs.join("skills")).unwrap();
    // A link is not read either.
    let read = world.backend.written_token(first.workspace, first.epoch);
    assert_eq!(read.await, Ok(None));
    let mut second = plan(&world, first.workspace, 2);
    second.files.push(config_file("skills/theirs.md", "ours"));
    second.reset_session = true;
    fs::remove_dir_all(place.join("session")).unwrap();
    symlink(&outside, place.join("session")).unwrap();
    running(&world, &second).await;
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "theirs");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(
        fs::read_to_string(configs.join("skills/theirs.md")).unwrap(),
        "ours"
    );
    for (path, expected) in [
        (place.clone(), 0o700),
        (configs.clone(), 0o700),
        (place.join("workspace"), 0o700),
        (place.join("session"), 0o700),
        (place.join("log"), 0o600),
        (configs.join(TOKEN), 0o600),
        (configs.join("config.yaml"), 0o644),
    ] {
        assert_eq!(mode(&path), expected, "{}", path.display());
    }

    // The folder itself, and what is taken away with it.
    world.backend.stop(second.workspace, GRACE).await.unwrap();
    fs::rename(&configs, world.folder.path().join("moved")).unwrap();
    symlink(&outside, &configs).unwrap();
    let third = plan(&world, first.workspace, 3);
    running(&world, &third).await;
    world.backend.stop(second.workspace, GRACE).await.unwrap();
    fs::remove_dir_all(place.join("workspace")).unwrap();
    symlink(&outside, place.join("workspace")).unwrap();
    let removed = world.backend.remove(third.workspace, Remove::Everything);
    removed.await.unwrap();
    assert!(!place.exists());
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "theirs");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}

#[tokio::test]
async fn a_token_that_somebody_changed_is_not_the_one_that_was_written() {
    let world = Processes::new();
    let plan = plan(&world, a_workspace(), 1);
    world.backend.write(&plan).await.unwrap();
    let token = world.place(plan.workspace).join("configs").join(TOKEN);
    for content in [b"another".to_vec(), vec![0xff; 8], vec![b'x'; 100_000]] {
        fs::write(&token, content).unwrap();
        let written = world
            .backend
            .written_token(plan.workspace, plan.epoch)
            .await;
        assert_ne!(written.unwrap(), Some(hash(&plan)));
        let started = world.backend.start(&plan, &Unheard).await;
        assert!(
            matches!(started, Err(BackendError::Unavailable(_))),
            "{started:?}"
        );
    }
    assert_eq!(world.instances(plan.workspace).await, 0);
}

#[tokio::test]
async fn no_secret_makes_an_instance_somebody_else() {
    let world = Processes::new();
    let mut plan = plan(&world, a_workspace(), 1);
    for name in [
        "WORKSPACE_ID",
        "CANDOR_WORKSPACE_ID",
        "PLATFORM_URL",
        "CANDOR_PLATFORM_URL",
        "CONFIGS_DIR",
        "CANDOR_CONFIGS_DIR",
        "WORKSPACE_CONFIG_PATH",
        "CANDOR_LISTEN",
        "CANDOR_ADVERTISE",
        "CANDOR_EXECUTOR",
        "CANDOR_INSTANCE",
    ] {
        set(&mut plan, name, "0.0.0.0:1");
    }
    running(&world, &plan).await;
    let env = world.env(plan.workspace).await;
    let wrong: Vec<_> = env.iter().filter(|(_, v)| *v == "0.0.0.0:1").collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let place = world.place(plan.workspace);
    assert_eq!(env["WORKSPACE_ID"], plan.workspace.to_string());
    assert_eq!(env["PLATFORM_URL"], plan.platform_url);
    assert_eq!(Path::new(&env["CONFIGS_DIR"]), place.join("configs"));
    assert_eq!(env["WORKSPACE_CONFIG_PATH"], env["CONFIGS_DIR"]);
    assert_eq!(Path::new(&env["HOME"]), place.join("session"));
    assert_eq!(env["CANDOR_EXECUTOR"], "echo");
    // Nothing but the plan's, what makes it an instance, and where programs are.
    let known = ["HOME", "PATH", "LANG", "LC_ALL", "TZ"];
    let others: Vec<_> = env
        .keys()
        .filter(|name| !plan.env.contains_key(*name) && !known.contains(&name.as_str()))
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

#[tokio::test]
async fn what_a_process_may_use_is_limited_by_its_tier() {
    let world = Processes::new();
    let mib = 1024 * 1024_u64;
    for (runtime, tier, memory) in [
        ("candor-echo", Tier::T2, Some(512 * mib)),
        ("candor-echo", Tier::T3, Some(2048 * mib)),
        ("candor-command", Tier::T4, Some(4096 * mib)),
        ("candor-claude-code", Tier::T3, None),
    ] {
        let mut plan = plan(&world, a_workspace(), 1);
        plan.runtime = runtime.to_owned();
        plan.tier = tier;
        running(&world, &plan).await;
        let process = world.process(plan.workspace);
        let limits = fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
        let limit = |name: &str| {
            let line = limits.lines().find(|line| line.starts_with(name));
            line.unwrap()[name.len()..]
                .split_whitespace()
                .take(2)
                .map(ToOwned::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(limit("Max core file size"), ["0", "0"]);
        if let Some(memory) = memory {
            assert_eq!(
                limit("Max data size"),
                [memory.to_string(), memory.to_string()]
            );
        } else {
            assert_eq!(limit("Max data size"), ["unlimited", "unlimited"]);
        }
        let score = fs::read_to_string(format!("/proc/{process}/oom_score_adj")).unwrap();
        assert_eq!(score.trim(), "500");
        world.backend.stop(plan.workspace, GRACE).await.unwrap();
    }
}

#[tokio::test]
async fn a_folder_of_the_host_is_where_it_works_and_is_never_removed() {
    let world = Processes::new();
    let host = world.folder.path().join("host folder");
    fs::create_dir(&host).unwrap();
    let workspace = a_workspace();
    let mut with_host = plan(&world, workspace, 1);
    with_host.mount = Mount::Host {
        path: host.clone(),
        read_only: false,
    };
    running(&world, &with_host).await;
    assert!(host.join("starts").exists(), "it works there");
    world.backend.stop(workspace, GRACE).await.unwrap();
    let mut without = plan(&world, workspace, 2);
    without.mount = Mount::None;
    running(&world, &without).await;
    assert!(!world.place(workspace).join("workspace").exists());
    world.backend.stop(workspace, GRACE).await.unwrap();
    for what in [Remove::Configs, Remove::Everything] {
        world.backend.remove(workspace, what).await.unwrap();
        assert!(host.join("starts").exists());
        assert!(!world.place(workspace).exists());
    }
}

#[tokio::test]
async fn other_folders_and_other_installations_are_left_alone() {
    let world = Processes::new();
    let plan = plan(&world, a_workspace(), 1);
    running(&world, &plan).await;
    let root = &world.settings.root;
    let strange = ["lost+found", "0F3E4B9C-0000-4000-8000-000000000000"];
    for name in strange {
        fs::create_dir(root.join(name)).unwrap();
    }
    fs::write(root.join("a file"), "").unwrap();
    let nobodys = a_workspace();
    fs::create_dir(root.join(nobodys.to_string())).unwrap();
    let listed = world.backend.list().await.unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    let gone = world.backend.remove(nobodys, Remove::Everything).await;
    assert_eq!(gone, Ok(()));
    assert!(root.join(nobodys.to_string()).exists());

    let neighbour = ProcessBackend::new(ProcessSettings {
        installation: "another".to_owned(),
        ..world.settings.clone()
    });
    let mut theirs = plan.clone();
    theirs.epoch = Epoch(9);
    for said in [
        neighbour.write(&theirs).await,
        neighbour.start(&theirs, &Unheard).await.map(|_| ()),
    ] {
        match said {
            Err(BackendError::Refused(why)) => assert!(why.contains("data directory"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}

/// The platform's data directory is `.candor` by default.
#[tokio::test]
async fn paths_may_begin_where_the_platform_stands() {
    let here = std::env::current_dir().unwrap();
    let top: PathBuf = here.components().skip(1).map(|_| "..").collect();
    let from_here = |path: &Path| top.join(path.strip_prefix("/").unwrap());
    let world = Processes::with(|settings| {
        settings.root = from_here(&settings.root);
        settings.program = from_here(&settings.program);
    });
    assert_eq!(world.backend.ready().await, Ok(()));
    let plan = plan(&world, a_workspace(), 1);
    let url = running(&world, &plan).await;
    assert!(world.answers(&url).await);
    let env = world.env(plan.workspace).await;
    assert!(env["CONFIGS_DIR"].starts_with('/'), "{env:?}");
    assert!(Path::new(&env["CONFIGS_DIR"]).join(TOKEN).exists());
}

#[tokio::test]
async fn what_is_missing_is_said_before_anything_is_tried() {
    let world = Processes::with(|settings| settings.program = "/nowhere/candor-workspace".into());
    let refused = |said: Result<(), BackendError>, names: &str| match said {
        Err(BackendError::Refused(why)) => assert!(why.contains(names), "{why}"),
        other => panic!("{other:?}"),
    };
    refused(world.backend.ready().await, "/nowhere/candor-workspace");
    let plan = plan(&world, a_workspace(), 1);
    world.backend.write(&plan).await.unwrap();
    let started = world.backend.start(&plan, &Unheard).await;
    refused(started.map(|_| ()), "/nowhere/candor-workspace");
    let seen = world.backend.observe(plan.workspace).await;
    assert_eq!(seen, Ok(Observed::NotFound));

    let world = Processes::new();
    fs::write(&world.settings.root, "a file").unwrap();
    refused(world.backend.ready().await, "another data directory");
    let unknown = world.backend.observe(a_workspace()).await;
    assert!(
        matches!(unknown, Err(BackendError::Unavailable(_))),
        "{unknown:?}"
    );
}
