//! What an instance will read.

use candor_kernel::Epoch;
use candor_provisioner::backend::{BackendError, Observed};

use super::{
    GRACE, Place, TOKEN, World, a_workspace, config_file, hash, plan, running, text, tidy,
};

pub async fn what_is_written_is_read_back(world: &dyn World) {
    let (backend, workspace) = (world.backend(), a_workspace());
    let plan = plan(world, workspace, 5);
    for _ in 0..2 {
        backend.write(&plan).await.unwrap();
        let written = backend.written_token(workspace, plan.epoch).await;
        assert_eq!(written, Ok(Some(hash(&plan))));
        let of_another = backend.written_token(workspace, Epoch(6)).await.unwrap();
        assert_ne!(of_another, Some(hash(&plan)));
    }
    let later = super::plan(world, workspace, 6);
    backend.write(&later).await.unwrap();
    let written = backend.written_token(workspace, later.epoch).await;
    assert_eq!(written, Ok(Some(hash(&later))));
    // Nothing runs, so there is no instance.
    assert_eq!(backend.observe(workspace).await, Ok(Observed::NotFound));
    assert_eq!(world.instances(workspace).await, 0);
    tidy(world, workspace).await;
    let written = backend.written_token(workspace, later.epoch).await;
    assert_eq!(written, Ok(None));
}

pub async fn files_arrive_whatever_their_names_and_sizes(world: &dyn World) {
    let mut plan = plan(world, a_workspace(), 1);
    let names = [
        "-rf",
        "a b/c d.md",
        "--help/$(id)/`x`.md",
        "ünï/日本.md",
        "quote'\"d.md",
        ".hidden/.deep/er/x",
        "semi;colon&.txt",
        "UPPER/x",
        "upper/x",
        "back/..slash...md",
        "empty",
    ];
    for name in names {
        let content = if name == "empty" { "" } else { name };
        plan.files.push(config_file(name, content));
    }
    let bytes: Vec<u8> = (0..=255).collect();
    plan.files.push(config_file("bytes.bin", bytes.clone()));
    let large: Vec<u8> = (0..world.largest_file())
        .map(|n| u8::try_from(n % 251).unwrap())
        .collect();
    plan.files.push(config_file("large.bin", large.clone()));
    running(world, &plan).await;
    for name in names {
        let seen = world.file(plan.workspace, Place::Configs, name).await;
        let seen = seen.unwrap_or_else(|| panic!("{name} did not arrive"));
        let content = if name == "empty" { "" } else { name };
        assert_eq!(seen.content, content.as_bytes(), "{name}");
        assert!(seen.mode.is_none_or(|mode| mode == 0o644), "{seen:?}");
    }
    for (name, content) in [("bytes.bin", bytes), ("large.bin", large)] {
        let seen = world.file(plan.workspace, Place::Configs, name).await;
        assert!(seen.unwrap().content == content, "{name}");
    }
    let token = world.file(plan.workspace, Place::Configs, TOKEN).await;
    let token = token.unwrap();
    assert_eq!(token.content, plan.token.expose().as_bytes());
    assert!(token.mode.is_none_or(|mode| mode == 0o600), "{token:?}");
    tidy(world, plan.workspace).await;
}

pub async fn what_an_instance_left_in_the_way_is_no_obstacle(world: &dyn World) {
    let (backend, workspace) = (world.backend(), a_workspace());
    let mut first = plan(world, workspace, 1);
    first.files.push(config_file("skills/a.md", "first"));
    running(world, &first).await;
    // Folders where files belong, and a file where a folder belongs.
    for path in [".auth_token/x", "config.yaml/y/z", "skills"] {
        world.leave(workspace, Place::Configs, path, "mine").await;
    }
    backend.stop(workspace, GRACE).await.unwrap();
    let mut second = plan(world, workspace, 2);
    second.files.push(config_file("skills/a.md", "second"));
    running(world, &second).await;
    for (path, content) in [
        (TOKEN, second.token.expose()),
        ("config.yaml", "name: 2\n"),
        ("skills/a.md", "second"),
    ] {
        let read = text(world, workspace, Place::Configs, path).await;
        assert_eq!(read, content, "{path}");
    }
    tidy(world, workspace).await;
}

pub async fn the_token_is_the_platforms_whatever_the_files_say(world: &dyn World) {
    let (backend, workspace) = (world.backend(), a_workspace());
    let mut plan = plan(world, workspace, 1);
    plan.files.push(config_file(TOKEN, "a template's"));
    match backend.write(&plan).await {
        Ok(()) => {
            let written = backend.written_token(workspace, plan.epoch).await;
            assert_eq!(written, Ok(Some(hash(&plan))));
        }
        Err(BackendError::Refused(why)) => assert!(why.contains(TOKEN), "{why}"),
        Err(other) => panic!("{other:?}"),
    }
    tidy(world, workspace).await;
}
