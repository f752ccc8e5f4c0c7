//! The engine of the tests on Docker, and images that need no registry.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{
    CreateImageOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder,
    ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker, body_full};
use candor_kernel::WorkspaceId;
use candor_provisioner::backend::docker::DockerSettings;
use futures::TryStreamExt as _;
use uuid::Uuid;

/// Where `scripts/with-docker` says that the engine is.
const VARIABLE: &str = "CANDOR_TEST_DOCKER";

/// The engine, or nothing where the tests were told that there is none.
pub async fn engine() -> Option<Engine> {
    let socket = std::env::var(VARIABLE).unwrap_or_else(|_| {
        panic!(
            "these tests need a Docker engine: run them by scripts/with-docker, or say {VARIABLE}=none to leave them out"
        )
    });
    if socket == "none" {
        println!("NOT RUN: {VARIABLE}=none");
        return None;
    }
    let docker = Docker::connect_with_unix(&socket, 120, API_DEFAULT_VERSION)
        .unwrap()
        .negotiate_version()
        .await
        .unwrap();
    let installation = format!("test-{}", Uuid::new_v4());
    Some(Engine {
        docker,
        socket: PathBuf::from(socket),
        network: format!("candor-{installation}"),
        installation,
    })
}

/// An engine, and a room of the test's own on it: an installation and a network. Dropped,
/// both are empty.
pub struct Engine {
    pub docker: Docker,
    pub socket: PathBuf,
    pub installation: String,
    pub network: String,
}

impl Engine {
    /// Settings that claim what the tests run.
    pub fn settings(&self) -> DockerSettings {
        let mut settings = DockerSettings::new(&self.installation);
        settings.socket.clone_from(&self.socket);
        settings.network.clone_from(&self.network);
        settings.platform_url = Some("http://127.0.0.1:9".to_owned());
        for runtime in ["candor-echo", "candor-claude-code"] {
            settings.runtimes.insert(runtime.to_owned());
        }
        settings.pull_deadline = Duration::from_secs(20);
        settings
    }

    /// An image of this machine's own programs and what they are linked with.
    pub async fn image(&self, of: &Image<'_>) -> String {
        let content = of.archive();
        let print = sha_of(&content, of.changes());
        let tag = format!("candor-test-{}:{print}", of.name);
        if self.docker.inspect_image(&tag).await.is_err() {
            self.import(&tag, content, of.changes()).await;
        }
        tag
    }

    async fn import(&self, tag: &str, content: Vec<u8>, changes: Vec<String>) {
        let (name, version) = tag.rsplit_once(':').unwrap();
        let options = CreateImageOptionsBuilder::new()
            .from_src("-")
            .repo(name)
            .tag(version)
            .changes(changes)
            .build();
        let body = body_full(content.into());
        self.docker
            .create_image(Some(options), Some(body), None)
            .try_collect::<Vec<_>>()
            .await
            .unwrap();
    }

    pub async fn inspect(&self, name: &str) -> Option<ContainerInspectResponse> {
        self.docker
            .inspect_container(name, None::<InspectContainerOptions>)
            .await
            .ok()
    }

    /// The published address of a running container.
    pub async fn address(&self, name: &str) -> Option<std::net::SocketAddr> {
        let ports = self.inspect(name).await?.network_settings?.ports?;
        let binding = ports.get("8000/tcp")?.as_ref()?.first()?.clone();
        let port = binding.host_port?.parse().ok()?;
        Some(([127, 0, 0, 1], port).into())
    }

    /// How many containers run with this label.
    pub async fn running(&self, label: &str) -> usize {
        let filters = HashMap::from([("label", vec![label]), ("status", vec!["running"])]);
        let options = ListContainersOptionsBuilder::new()
            .filters(&filters)
            .build();
        let found = self.docker.list_containers(Some(options)).await;
        found.unwrap().len()
    }

    /// Takes away everything that carries the installation, and its network.
    async fn empty(docker: &Docker, installation: &str, network: &str) {
        let filters =
            HashMap::from([("label", vec![format!("candor.installation={installation}")])]);
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filters)
            .build();
        let containers = docker.list_containers(Some(options)).await;
        for id in containers
            .unwrap_or_default()
            .into_iter()
            .filter_map(|c| c.id)
        {
            let options = RemoveContainerOptionsBuilder::new()
                .force(true)
                .v(true)
                .build();
            docker.remove_container(&id, Some(options)).await.ok();
        }
        let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
        let volumes = docker.list_volumes(Some(options)).await;
        for volume in volumes
            .ok()
            .and_then(|found| found.volumes)
            .unwrap_or_default()
        {
            let options = RemoveVolumeOptionsBuilder::new().force(true).build();
            docker.remove_volume(&volume.name, Some(options)).await.ok();
        }
        docker.remove_network(network).await.ok();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let (socket, installation, network) = (
            self.socket.to_string_lossy().into_owned(),
            self.installation.clone(),
            self.network.clone(),
        );
        // The test's own runtime may be at its end.
        let emptied = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let docker = Docker::connect_with_unix(&socket, 60, API_DEFAULT_VERSION).unwrap();
                let docker = docker.negotiate_version().await.unwrap();
                Self::empty(&docker, &installation, &network).await;
            });
        });
        emptied.join().ok();
    }
}

/// What an image is made of.
pub struct Image<'a> {
    pub name: &'a str,
    /// A program of this machine, where it is in the image.
    pub program: (&'a Path, &'a str),
    pub command: &'a [&'a str],
    /// `USER`; root if empty.
    pub user: &'a str,
    /// Files as path and text.
    pub files: &'a [(&'a str, &'a str)],
}

impl Image<'_> {
    fn changes(&self) -> Vec<String> {
        let command = serde_json::to_string(self.command).unwrap();
        let mut changes = vec![format!("CMD {command}")];
        if !self.user.is_empty() {
            changes.push(format!("USER {}", self.user));
        }
        changes
    }

    fn archive(&self) -> Vec<u8> {
        let (program, inside) = self.program;
        let mut archive = tar::Builder::new(Vec::new());
        let mut add = |path: &str, mode: u32, content: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_mode(mode);
            header.set_size(content.len() as u64);
            let path = path.trim_start_matches('/');
            archive.append_data(&mut header, path, content).unwrap();
        };
        add(inside, 0o755, &std::fs::read(program).unwrap());
        for library in libraries(program) {
            add(&library, 0o755, &std::fs::read(&library).unwrap());
        }
        for (path, text) in self.files {
            add(path, 0o644, text.as_bytes());
        }
        archive.into_inner().unwrap()
    }
}

/// What the loader needs for a program, by its own word.
pub fn libraries(program: &Path) -> BTreeSet<String> {
    let told = Command::new("ldd").arg(program).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    let words = told.split_whitespace();
    words
        .filter(|word| word.starts_with('/'))
        .map(|word| word.trim_end_matches(':').to_owned())
        .collect()
}

fn sha_of(content: &[u8], changes: Vec<String>) -> String {
    use candor_kernel::token::TokenHash;
    // The kernel's hash of a text is the one that is at hand.
    let mut text: String = content.iter().map(|byte| char::from(*byte)).collect();
    text.extend(changes);
    let TokenHash(hash) = TokenHash::of(&text);
    hash[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The name of a workspace's container.
pub fn container(workspace: WorkspaceId) -> String {
    format!("ws-{}", &workspace.to_string()[..12])
}
