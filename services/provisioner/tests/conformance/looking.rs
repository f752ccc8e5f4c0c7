//! Looking into an instance, where a backend can.

use candor_provisioner::backend::{BackendError, Live, Root};

use super::{GRACE, Place, World, a_workspace, config_file, plan, running, tidy};

/// Paths of a list, folders with a slash.
fn paths(seen: Live<Vec<candor_provisioner::backend::FileEntry>>) -> Option<Vec<String>> {
    match seen {
        Live::Unseen => None,
        Live::Seen(entries) => {
            let entries = entries.into_iter();
            Some(
                entries
                    .map(|entry| match entry.is_folder {
                        true => format!("{}/", entry.path),
                        false => format!("{} {}", entry.path, entry.size),
                    })
                    .collect(),
            )
        }
    }
}

pub async fn what_an_instance_has_is_seen_or_not_spoken_of(world: &dyn World) {
    let workspace = a_workspace();
    let backend = world.backend();
    let unseen = backend.list_files(workspace, Root::Configs, "", 5).await;
    assert_eq!(unseen, Ok(Live::Unseen));
    let mut plan = plan(world, workspace, 1);
    plan.files = vec![
        config_file("config.yaml", "name: a\n"),
        config_file("d/e/f.md", "deep"),
    ];
    running(world, &plan).await;
    world
        .leave(workspace, Place::Configs, "left/behind", "words")
        .await;
    world
        .leave(workspace, Place::Workspace, "src/main", "main")
        .await;
    let list = |root, path, depth| backend.list_files(workspace, root, path, depth);
    let Some(shown) = paths(list(Root::Configs, "", 5).await.unwrap()) else {
        let read = backend.read_file(workspace, Root::Configs, "config.yaml");
        assert_eq!(read.await, Ok(Live::Unseen));
        tidy(world, workspace).await;
        return;
    };
    for expected in [
        "config.yaml 8",
        "d/",
        "d/e/",
        "d/e/f.md 4",
        "left/",
        "left/behind 5",
    ] {
        assert!(shown.iter().any(|path| path == expected), "{shown:?}");
    }
    assert!(
        !shown.iter().any(|path| path.contains("auth_token")),
        "{shown:?}"
    );
    let deep = list(Root::Configs, "d", 1).await.unwrap();
    assert_eq!(paths(deep).unwrap(), ["e/"]);
    let work = list(Root::Workspace, "", 2).await.unwrap();
    let work = paths(work).unwrap();
    for expected in ["src/", "src/main 4"] {
        assert!(work.iter().any(|path| path == expected), "{work:?}");
    }
    for (root, path) in [
        (Root::Home, "none"),
        (Root::Configs, "none"),
        (Root::Configs, "config.yaml/x"),
    ] {
        assert_eq!(paths(list(root, path, 1).await.unwrap()).unwrap(), [""; 0]);
        let read = backend.read_file(workspace, root, path).await;
        assert_eq!(read, Ok(Live::Seen(None)), "{path}");
    }
    let read = backend
        .read_file(workspace, Root::Configs, "left/behind")
        .await;
    assert_eq!(read, Ok(Live::Seen(Some("words".into()))));
    written(world, workspace).await;
    backend.stop(workspace, GRACE).await.unwrap();
    let stopped = backend
        .write_files(workspace, &[config_file("later.md", "l")])
        .await
        .unwrap();
    assert!(
        matches!(stopped, Live::Unseen | Live::Seen("volume")),
        "{stopped:?}"
    );
    tidy(world, workspace).await;
}

/// The instance has what was written at once, and nothing in the way is lost.
async fn written(world: &dyn World, workspace: candor_kernel::WorkspaceId) {
    let backend = world.backend();
    let files = [
        config_file("config.yaml", "name: b\n"),
        config_file("new/one.md", "one"),
    ];
    let written = backend.write_files(workspace, &files).await;
    assert_eq!(written, Ok(Live::Seen("container")));
    for (path, content) in [("config.yaml", "name: b\n"), ("new/one.md", "one")] {
        let seen = world.file(workspace, Place::Configs, path).await.unwrap();
        assert_eq!(seen.content, content.as_bytes(), "{path}");
    }
    for in_the_way in ["new", "config.yaml/below"] {
        let refused = backend
            .write_files(workspace, &[config_file(in_the_way, "x")])
            .await;
        assert!(
            matches!(refused, Err(BackendError::Refused(_))),
            "{refused:?}"
        );
    }
    let there = world.file(workspace, Place::Configs, "new/one.md").await;
    assert!(there.is_some());
    // Where there is a way to take files away.
    match backend.delete_file(workspace, "new").await {
        Ok(_) => assert_eq!(
            world.file(workspace, Place::Configs, "new/one.md").await,
            None
        ),
        Err(error) => assert!(matches!(error, BackendError::Refused(_)), "{error}"),
    }
    let none = backend.delete_file(workspace, "none/at/all").await;
    assert_eq!(none, Ok(Live::Seen(())));
}
