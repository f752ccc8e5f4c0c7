//! What only containers have: images, users, limits, privileges, names that others hold,
//! and an engine that is in trouble.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod conformance;
mod engine;

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use bollard::models::{ContainerCreateBody, VolumeCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListNetworksOptions, RemoveVolumeOptions,
};
use candor_kernel::{Epoch, WorkspaceId};
use candor_process::config::Secret;
use candor_provisioner::backend::docker::{DockerBackend, DockerSettings, TierLimits};
use candor_provisioner::backend::{
    Backend, BackendError, Live, Mount, Observed, Plan, Progress, Remove, Root, Tier,
};
use candor_testkit::wait::wait_for;
use parking_lot::Mutex;

use self::conformance::inside::{Inside, program};
use self::conformance::{GRACE, Place, SOON, Unheard, a_workspace, config_file, exited, hash};
use self::engine::{Engine, Image, container, engine};

/// A plan whose environment has one secret.
fn plan(image: &str, tier: Tier) -> Plan {
    Plan {
        workspace: a_workspace(),
        epoch: Epoch(1),
        name: "ada".to_owned(),
        runtime: "candor-echo".to_owned(),
        tier,
        image: Some(image.to_owned()),
        platform_url: "http://127.0.0.1:9".to_owned(),
        env: [("API_KEY".to_owned(), Secret::new("sk-very-secret-value"))].into(),
        files: vec![config_file("config.yaml", "name: ada\n")],
        token: Secret::new("a-token-of-this-test"),
        mount: Mount::Volume,
        reset_session: false,
    }
}

async fn stand_in(engine: &Engine, user: &str, files: &[(&str, &str)]) -> String {
    let program = program();
    let image = Image {
        name: "stand-in",
        program: (&program, "/stand_in"),
        command: &["/stand_in"],
        user,
        files,
    };
    engine.image(&image).await
}

/// An image that runs a line of shell.
async fn shell(engine: &Engine, line: &str) -> String {
    let sh = std::fs::canonicalize("/bin/sh").unwrap();
    let image = Image {
        name: "shell",
        program: (&sh, "/bin/sh"),
        command: &["/bin/sh", "-c", line],
        user: "",
        files: &[],
    };
    engine.image(&image).await
}

async fn provision(backend: &DockerBackend, plan: &Plan) -> Observed {
    backend.write(plan).await.unwrap();
    backend.start(plan, &Unheard).await.unwrap()
}

async fn inside(engine: &Engine, workspace: WorkspaceId) -> Inside {
    let address = engine.address(&container(workspace)).await;
    Inside(address.unwrap()).listening().await
}

#[tokio::test]
async fn last_words_are_bounded_and_hold_no_secret() {
    let Some(engine) = engine().await else { return };
    let backend = DockerBackend::new(engine.settings());
    let line = "i=0; while [ $i -lt 9000 ]; do echo -n x; i=$((i+1)); done; echo; echo key is $API_KEY; exit 3";
    let plan = plan(&shell(&engine, line).await, Tier::T2);
    provision(&backend, &plan).await;
    let why = exited(&backend, plan.workspace, plan.epoch).await;
    assert!(why.starts_with("exit code 3; its last words: x"), "{why}");
    assert!(why.ends_with("key is …"), "{why}");
    assert!(why.len() < 2300, "{} bytes", why.len());
}

#[tokio::test]
async fn memory_is_a_limit_and_its_end_is_named() {
    let Some(engine) = engine().await else { return };
    let mut settings = engine.settings();
    let variable = |name: &str| (name == "TIER1_MEMORY_MB").then(|| "16".to_owned());
    settings.limits = TierLimits::from_variables(&variable).unwrap();
    let backend = DockerBackend::new(settings);
    let image = shell(&engine, "a=xxxxxxxx; while :; do a=$a$a; done").await;
    let plan = plan(&image, Tier::T1);
    provision(&backend, &plan).await;
    let why = exited(&backend, plan.workspace, plan.epoch).await;
    // An engine of old loses the kernel's word at times, and knows the signal only.
    let named = why.contains("out of memory") && why.contains("16 MiB");
    assert!(named || why.contains("exit code 137"), "{why}");
}

#[tokio::test]
async fn a_sandbox_reads_its_token_and_writes_nothing_else() {
    let Some(engine) = engine().await else { return };
    let backend = DockerBackend::new(engine.settings());
    // An image as Candor's own: its user's folder is in it.
    let image = stand_in(&engine, "10001:10001", &[]).await;
    let plan = plan(&image, Tier::T1);
    provision(&backend, &plan).await;
    let inside = inside(&engine, plan.workspace).await;
    let token = inside.file(Place::Configs, ".auth_token").await.unwrap();
    assert_eq!(token.content, plan.token.expose().as_bytes());
    assert_eq!(token.mode, Some(0o600));
    let about = engine.inspect(&container(plan.workspace)).await.unwrap();
    let host = about.host_config.unwrap();
    assert_eq!(host.binds.unwrap().len(), 1, "no /workspace");
    assert_eq!(host.readonly_rootfs, Some(true));
    assert_eq!(host.cap_drop.unwrap(), ["ALL"]);
    assert!(
        host.cap_add.unwrap_or_default().is_empty(),
        "it is not root"
    );
    backend.stop(plan.workspace, GRACE).await.unwrap();
}

#[tokio::test]
async fn a_user_with_a_name_is_looked_up_in_its_image() {
    let Some(engine) = engine().await else { return };
    let backend = DockerBackend::new(engine.settings());
    let tables = [
        (
            "etc/passwd",
            "root:x:0:0::/:/bin/sh\nagent:x:4242:4243::/:/bin/sh\n",
        ),
        ("etc/group", "root:x:0:\nagent:x:4243:\n"),
    ];
    let image = stand_in(&engine, "agent", &tables).await;
    let plan_of_agent = plan(&image, Tier::T2);
    provision(&backend, &plan_of_agent).await;
    let inside = inside(&engine, plan_of_agent.workspace).await;
    let token = inside.file(Place::Configs, ".auth_token").await.unwrap();
    assert_eq!(token.content, plan_of_agent.token.expose().as_bytes());
    inside.leave(Place::Configs, "of/the/agent", "mine").await;

    let image = stand_in(&engine, "stranger", &tables).await;
    let refused = backend.write(&plan(&image, Tier::T2)).await.unwrap_err();
    assert!(
        matches!(&refused, BackendError::Refused(why) if why.contains("uid:gid")),
        "{refused}"
    );
}

#[tokio::test]
async fn privileged_tiers_are_made_as_the_legacy_platforms_once_they_are_allowed() {
    let Some(engine) = engine().await else { return };
    let mut settings = engine.settings();
    settings.allow_privileged = true;
    let backend = DockerBackend::new(settings);
    let image = stand_in(&engine, "", &[]).await;
    let cpus = engine.docker.info().await.unwrap().ncpu.unwrap();
    for (tier, mib, of_cpus) in [(Tier::T3, 2048, 2), (Tier::T4, 4096, 4)] {
        let plan = plan(&image, tier);
        backend.write(&plan).await.unwrap();
        let about = engine.inspect(&container(plan.workspace)).await.unwrap();
        let host = about.host_config.unwrap();
        assert_eq!(host.privileged, Some(true));
        assert_eq!(host.pid_mode.as_deref(), Some("host"));
        assert_eq!(host.memory, Some(mib * 1024 * 1024));
        assert_eq!(host.nano_cpus, Some(cpus.min(of_cpus) * 1_000_000_000));
        let on_the_host = host.network_mode.as_deref() == Some("host");
        assert_eq!(on_the_host, tier == Tier::T4);
        let binds = host.binds.unwrap().join(" ");
        let has_socket = binds.contains("docker.sock:/var/run/docker.sock");
        assert_eq!(has_socket, tier == Tier::T4, "{binds}");
        backend.stop(plan.workspace, GRACE).await.unwrap();
    }
}

#[tokio::test]
async fn what_others_made_under_the_same_names_is_left_alone() {
    let Some(engine) = engine().await else { return };
    let backend = DockerBackend::new(engine.settings());
    let image = stand_in(&engine, "", &[]).await;
    let plan = plan(&image, Tier::T2);
    let name = container(plan.workspace);
    let options = CreateContainerOptionsBuilder::new().name(&name).build();
    let body = ContainerCreateBody {
        image: Some(image),
        // What the legacy platform marks its own with, whatever the installation.
        labels: Some([("molecule.platform.managed".to_owned(), "true".to_owned())].into()),
        ..ContainerCreateBody::default()
    };
    let made = engine
        .docker
        .create_container(Some(options), body)
        .await
        .unwrap();
    let refused = backend.write(&plan).await.unwrap_err();
    let names_the_fix = |why: &str| why.contains(&name) && why.contains("docker rename");
    assert!(
        matches!(&refused, BackendError::Refused(why) if names_the_fix(why)),
        "{refused}"
    );
    assert_eq!(
        backend.observe(plan.workspace).await,
        Ok(Observed::NotFound)
    );
    backend.stop(plan.workspace, GRACE).await.unwrap();
    assert_eq!(engine.inspect(&name).await.unwrap().id, Some(made.id));
    assert!(backend.list().await.unwrap().is_empty());
    let options = bollard::query_parameters::RemoveContainerOptions::default();
    engine
        .docker
        .remove_container(&name, Some(options))
        .await
        .unwrap();
}

#[tokio::test]
async fn volumes_of_nobody_are_used_and_kept_and_those_of_others_refused() {
    let Some(engine) = engine().await else { return };
    let backend = DockerBackend::new(engine.settings());
    let image = stand_in(&engine, "", &[]).await;
    let plan = plan(&image, Tier::T2);
    let configs = format!("{}-configs", container(plan.workspace));
    let make = |labels: &[(&str, String)]| VolumeCreateRequest {
        name: Some(configs.clone()),
        labels: Some(
            labels
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        ),
        ..VolumeCreateRequest::default()
    };
    let remove = || async {
        engine
            .docker
            .remove_volume(&configs, None::<RemoveVolumeOptions>)
            .await
            .unwrap()
    };
    let of_the_twin = [
        ("candor.installation", engine.installation.clone()),
        ("candor.workspace", a_workspace().to_string()),
    ];
    let of_another = [("candor.installation", "another".to_owned())];
    for labels in [of_the_twin.as_slice(), &of_another] {
        engine.docker.create_volume(make(labels)).await.unwrap();
        let refused = backend.write(&plan).await.unwrap_err();
        assert!(
            matches!(&refused, BackendError::Refused(why) if why.contains(&configs)),
            "{refused}"
        );
        remove().await;
    }
    // As the original leaves its own.
    engine.docker.create_volume(make(&[])).await.unwrap();
    backend.write(&plan).await.unwrap();
    let written = backend.written_token(plan.workspace, plan.epoch).await;
    assert_eq!(written, Ok(Some(hash(&plan))));
    backend.stop(plan.workspace, GRACE).await.unwrap();
    backend
        .remove(plan.workspace, Remove::Everything)
        .await
        .unwrap();
    assert!(engine.docker.inspect_volume(&configs).await.is_ok());
    remove().await;
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Progress for Heard {
    fn told(&self, what: std::fmt::Arguments<'_>) {
        self.0.lock().push(what.to_string());
    }
}

#[tokio::test]
async fn an_image_that_cannot_be_had_is_named_with_the_fix() {
    let Some(engine) = engine().await else { return };
    let backend = DockerBackend::new(engine.settings());
    // A registry that is surely not there.
    let image = "127.0.0.1:1/nowhere/agent:1";
    let heard = Heard::default();
    let plan = plan(image, Tier::T2);
    let failed = backend
        .prepare(&plan, &heard)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        failed.contains(image) && failed.contains("--images (CANDOR_IMAGES)"),
        "{failed}"
    );
    assert_eq!(*heard.0.lock(), [format!("pulling image {image}")]);
    assert!(backend.write(&plan).await.is_err());
    assert_eq!(
        backend.observe(plan.workspace).await,
        Ok(Observed::NotFound)
    );
}

#[tokio::test]
async fn without_the_token_of_the_plan_nothing_is_started() {
    let Some(engine) = engine().await else { return };
    let backend = DockerBackend::new(engine.settings());
    let mut plan = plan(&stand_in(&engine, "", &[]).await, Tier::T2);
    let never_written = backend.start(&plan, &Unheard).await;
    assert!(matches!(never_written, Err(BackendError::Unavailable(_))));
    backend.write(&plan).await.unwrap();
    plan.token = Secret::new("another-token");
    let another = backend.start(&plan, &Unheard).await;
    assert!(matches!(another, Err(BackendError::Unavailable(_))));
    assert_eq!(
        backend.observe(plan.workspace).await,
        Ok(Observed::NotFound)
    );
}

#[tokio::test]
async fn what_cannot_be_started_is_refused_and_says_why_until_it_is_stopped() {
    let Some(engine) = engine().await else { return };
    let backend = DockerBackend::new(engine.settings());
    let program = program();
    let image = Image {
        name: "nothing-to-start",
        program: (&program, "/stand_in"),
        command: &["/no/such/program"],
        user: "",
        files: &[],
    };
    let plan = plan(&engine.image(&image).await, Tier::T2);
    backend.write(&plan).await.unwrap();
    let refused = backend.start(&plan, &Unheard).await.unwrap_err();
    let told = |why: &str| why.contains("/no/such/program");
    assert!(
        matches!(&refused, BackendError::Refused(why) if told(why)),
        "{refused}"
    );
    let why = exited(&backend, plan.workspace, plan.epoch).await;
    assert!(told(&why), "{why}");
    backend.stop(plan.workspace, GRACE).await.unwrap();
    let observed = backend.observe(plan.workspace).await;
    assert_eq!(observed, Ok(Observed::NotFound));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn platforms_that_begin_at_once_share_one_network() {
    let Some(engine) = engine().await else { return };
    let image = stand_in(&engine, "", &[]).await;
    let starts = (0..4).map(|_| {
        let (backend, plan) = (
            DockerBackend::new(engine.settings()),
            plan(&image, Tier::T2),
        );
        tokio::spawn(async move {
            // As the reconciler does: what nothing is known of is tried again.
            let started = wait_for("an instance", SOON, || async {
                backend.write(&plan).await.ok()?;
                backend.start(&plan, &Unheard).await.ok()
            });
            started.await.unwrap()
        })
    });
    for started in starts.collect::<Vec<_>>() {
        let observed = started.await.unwrap();
        assert!(matches!(observed, Observed::Running { .. }), "{observed:?}");
    }
    let all = engine.docker.list_networks(None::<ListNetworksOptions>);
    let ours = all.await.unwrap().into_iter();
    let ours = ours.filter(|network| network.name.as_ref() == Some(&engine.network));
    assert_eq!(ours.count(), 1);
}

/// An engine that answers everything with this status, but where it is asked what it is.
async fn troubled(status: StatusCode) -> (tempfile::TempDir, DockerBackend) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let about = |text: &'static str| axum::routing::get(move || async move { text });
    let router = Router::new()
        .route("/version", about(r#"{"ApiVersion":"1.41"}"#))
        .route("/info", about("{}"))
        .fallback(move || async move { (status, r#"{"message":"no such container: not found"}"#) });
    tokio::spawn(axum::serve(listener, router).into_future());
    let mut settings = DockerSettings::new("here");
    settings.socket = socket;
    settings.platform_url = Some("http://127.0.0.1:9".to_owned());
    (folder, DockerBackend::new(settings))
}

#[tokio::test]
async fn an_engine_in_trouble_says_nothing_about_instances() {
    // Words mean nothing: the original took "not found" in any error for an end.
    let (_folder, backend) = troubled(StatusCode::INTERNAL_SERVER_ERROR).await;
    let nowhere = {
        let mut settings = DockerSettings::new("here");
        settings.socket = Path::new("/nowhere/docker.sock").to_owned();
        settings.platform_url = Some("http://127.0.0.1:9".to_owned());
        DockerBackend::new(settings)
    };
    let workspace = a_workspace();
    for backend in [Arc::new(backend), Arc::new(nowhere)] {
        // What is told to people names the fix; nothing follows from it.
        assert!(backend.ready().await.is_err());
        let said = [
            backend.observe(workspace).await.err(),
            backend.stop(workspace, GRACE).await.err(),
            backend.written_token(workspace, Epoch(1)).await.err(),
            backend.list().await.err(),
            backend.remove(workspace, Remove::Everything).await.err(),
            backend.write(&plan("an-image", Tier::T2)).await.err(),
        ];
        for said in said {
            assert!(
                matches!(said, Some(BackendError::Unavailable(_))),
                "{said:?}"
            );
        }
    }
}

#[tokio::test]
async fn links_in_a_container_are_not_followed_by_those_who_look_into_it() {
    let Some(engine) = engine().await else { return };
    let backend = DockerBackend::new(engine.settings());
    let image = stand_in(&engine, "10001:10001", &[]).await;
    let plan = plan(&image, Tier::T2);
    provision(&backend, &plan).await;
    let mut links = tar::Builder::new(Vec::new());
    for (name, target) in [
        ("token", ".auth_token"),
        ("folder", "/configs"),
        ("out", "/stand_in"),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        links.append_link(&mut header, name, target).unwrap();
    }
    for folder in ["/configs", "/workspace"] {
        let options = bollard::query_parameters::UploadToContainerOptionsBuilder::new()
            .path(folder)
            .build();
        let archive = bollard::body_full(links.get_ref().clone().into());
        let name = container(plan.workspace);
        let uploaded = engine
            .docker
            .upload_to_container(&name, Some(options), archive);
        uploaded.await.unwrap();
    }
    for (root, path) in [
        (Root::Configs, "token"),
        (Root::Configs, "folder/.auth_token"),
        (Root::Workspace, "folder/.auth_token"),
        (Root::Workspace, "out"),
    ] {
        let read = backend.read_file(plan.workspace, root, path).await;
        assert_eq!(read, Ok(Live::Seen(None)), "{path}");
    }
    let Live::Seen(listed) = backend
        .list_files(plan.workspace, Root::Configs, "", 5)
        .await
        .unwrap()
    else {
        panic!("it runs");
    };
    let listed: Vec<String> = listed.into_iter().map(|entry| entry.path).collect();
    assert_eq!(listed, ["config.yaml"]);
    for path in ["folder/new", "token"] {
        let refused = backend
            .write_files(plan.workspace, &[config_file(path, "x")])
            .await;
        assert!(
            matches!(refused, Err(BackendError::Refused(_))),
            "{refused:?}"
        );
    }
    let config = config_file("config.yaml", "name: b\n");
    backend
        .write_files(plan.workspace, &[config])
        .await
        .unwrap();
    let inside = inside(&engine, plan.workspace).await;
    let config = inside.file(Place::Configs, "config.yaml").await.unwrap();
    assert_eq!(config.content, b"name: b\n");
}

/// Gives a container a program of this machine, with what it is linked with.
async fn give(engine: &Engine, name: &str, program: &Path) {
    let mut archive = tar::Builder::new(Vec::new());
    let paths = [program.to_string_lossy().into_owned()].into_iter();
    for path in paths.chain(self::engine::libraries(program)) {
        let content = std::fs::read(&path).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        let inside = path.trim_start_matches('/');
        archive
            .append_data(&mut header, inside, &content[..])
            .unwrap();
    }
    let options = bollard::query_parameters::UploadToContainerOptionsBuilder::new()
        .path("/")
        .build();
    let archive = bollard::body_full(archive.into_inner().unwrap().into());
    let given = engine
        .docker
        .upload_to_container(name, Some(options), archive);
    given.await.unwrap();
}

#[tokio::test]
async fn a_file_is_taken_away_by_the_containers_own_rm_or_said_to_stay() {
    let Some(engine) = engine().await else { return };
    let backend = DockerBackend::new(engine.settings());
    let image = stand_in(&engine, "10001:10001", &[]).await;
    let mut plan = plan(&image, Tier::T2);
    plan.files.push(config_file("folder/-rf *", "x"));
    provision(&backend, &plan).await;
    let file = || backend.read_file(plan.workspace, Root::Configs, "folder/-rf *");
    let delete = || backend.delete_file(plan.workspace, "folder/-rf *");
    let refused = delete().await.unwrap_err();
    assert!(matches!(refused, BackendError::Refused(_)), "{refused}");
    assert_eq!(file().await, Ok(Live::Seen(Some("x".into()))));
    let rm = std::fs::canonicalize("/bin/rm").unwrap();
    give(&engine, &container(plan.workspace), &rm).await;
    for _ in 0..2 {
        assert_eq!(delete().await, Ok(Live::Seen(())));
        assert_eq!(file().await, Ok(Live::Seen(None)));
    }
    let kept = backend.read_file(plan.workspace, Root::Configs, "config.yaml");
    assert_eq!(kept.await, Ok(Live::Seen(Some("name: ada\n".into()))));
}
