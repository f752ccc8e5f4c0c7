//! Links that an agent puts into its folders lead nobody out of them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod conformance;
mod processes;

use std::fs;
use std::os::unix::fs::symlink;

use candor_provisioner::backend::{Backend as _, BackendError, Live, Root};
use conformance::{World as _, a_workspace, config_file, plan};
use processes::Processes;

#[tokio::test]
async fn links_lead_neither_readers_nor_writers_out_of_an_instance() {
    let world = Processes::new();
    let outside = world.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let secret = outside.join("secret");
    fs::write(&secret, "secret").unwrap();
    let plan = plan(&world, a_workspace(), 1);
    let workspace = plan.workspace;
    world.backend.write(&plan).await.unwrap();
    let configs = world.place(workspace).join("configs");
    symlink(&outside, configs.join("folder")).unwrap();
    symlink(&secret, configs.join("file")).unwrap();
    symlink("../instance.json", configs.join("note")).unwrap();
    symlink(".auth_token", configs.join("token")).unwrap();

    let backend = world.backend();
    let Live::Seen(listed) = backend
        .list_files(workspace, Root::Configs, "", 5)
        .await
        .unwrap()
    else {
        panic!("it has a place");
    };
    let listed: Vec<String> = listed.into_iter().map(|entry| entry.path).collect();
    for hidden in ["folder", "file", "note", "token", ".auth_token", "secret"] {
        assert!(!listed.iter().any(|path| path == hidden), "{listed:?}");
    }
    for path in ["folder/secret", "file", "note", "token"] {
        let read = backend.read_file(workspace, Root::Configs, path).await;
        assert_eq!(read, Ok(Live::Seen(None)), "{path}");
    }
    let below = [config_file("folder/new", "x")];
    let refused = backend.write_files(workspace, &below).await.unwrap_err();
    assert!(matches!(refused, BackendError::Refused(_)), "{refused}");
    // A link in a file's place is replaced, not followed.
    let over = [config_file("file", "ours")];
    backend.write_files(workspace, &over).await.unwrap();
    backend
        .delete_file(workspace, "folder/secret")
        .await
        .unwrap();
    backend.delete_file(workspace, "folder").await.unwrap();
    assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(configs.join("file")).unwrap(), "ours");
    // The folder itself.
    fs::remove_dir_all(world.place(workspace).join("workspace")).unwrap();
    symlink(&outside, world.place(workspace).join("workspace")).unwrap();
    let read = backend
        .read_file(workspace, Root::Workspace, "secret")
        .await;
    assert_eq!(read, Ok(Live::Seen(None)));
}

#[tokio::test]
async fn what_is_too_much_is_refused_and_not_cut() {
    let world = Processes::new();
    let plan = plan(&world, a_workspace(), 1);
    world.backend.write(&plan).await.unwrap();
    let work = world.place(plan.workspace).join("workspace");
    let large = fs::File::create(work.join("large")).unwrap();
    large.set_len(8 * 1024 * 1024 + 1).unwrap();
    let backend = world.backend();
    let read = backend
        .read_file(plan.workspace, Root::Workspace, "large")
        .await;
    assert!(matches!(read, Err(BackendError::Refused(_))), "{read:?}");
    for n in 0..5000 {
        fs::write(work.join(n.to_string()), "").unwrap();
    }
    let listed = backend
        .list_files(plan.workspace, Root::Workspace, "", 1)
        .await;
    assert!(
        matches!(listed, Err(BackendError::Refused(_))),
        "{listed:?}"
    );
}
