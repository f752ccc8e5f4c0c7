//! The backend `kubernetes` on a stand-in for a cluster, and how to look past it.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use candor_kernel::WorkspaceId;
use candor_provisioner::backend::kubernetes::{Kubernetes, Settings};
use candor_provisioner::backend::{Backend, Mount, Plan, Tier};
use candor_testkit::kube_api::{Deed, Does, KubeApi, Started};
use serde::Deserialize as _;
use serde_json::Value;

use crate::conformance::{
    DEAF, ENDS, Impossible, Place, STARTS, Seen, WORDS, World, config_file, set,
};

pub const NAMESPACE: &str = "candor-instances";
pub const INSTALLATION: &str = "installation-1";
/// The image that every runtime of the tests has.
pub const IMAGE: &str = "candor-workspace:0.1.0";

/// Instances as Pods of a stand-in.
pub struct Pods {
    pub api: KubeApi,
    pub backend: Kubernetes,
    pub settings: Settings,
}

/// Settings that look often and give up soon.
pub fn settings(installation: &str) -> Settings {
    let runtimes = ["candor-echo", "candor-command", "candor-claude-code"];
    let images = runtimes.map(|runtime| (runtime.to_owned(), IMAGE.to_owned()));
    Settings {
        poll: Duration::from_millis(5),
        call_deadline: Duration::from_secs(5),
        start_deadline: Duration::from_secs(20),
        margin: Duration::from_secs(5),
        ..Settings::new(installation, NAMESPACE, images.into())
    }
}

pub fn backend(url: &str, settings: Settings) -> Kubernetes {
    let mut config = kube::Config::new(url.parse().unwrap());
    config.default_retry = false;
    let client = kube::Client::try_from(config).unwrap();
    Kubernetes::new(client, settings).unwrap()
}

/// What the stand-in's containers do: what `examples/stand_in.rs` does, without a process.
fn program(started: &Started) -> Does {
    if let Some(work) = started.mounts.get("/workspace") {
        let starts = OpenOptions::new()
            .create(true)
            .append(true)
            .open(work.join(STARTS));
        writeln!(starts.unwrap(), "started").unwrap();
    }
    let words = || started.env.get(WORDS).cloned().unwrap_or_default();
    Does {
        ends: started
            .env
            .get(ENDS)
            .map(|code| (code.parse().unwrap(), words())),
        is_deaf: started.env.contains_key(DEAF),
    }
}

/// What the Role of the manifest allows.
pub fn allowed() -> BTreeSet<Deed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join("deploy/kubernetes/provisioner/role.yaml");
    let text = fs::read_to_string(path).unwrap();
    let mut deeds = BTreeSet::new();
    for document in serde_yaml_ng::Deserializer::from_str(&text) {
        let object = Value::deserialize(document).unwrap();
        if object["kind"] != "Role" {
            continue;
        }
        let list =
            |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap() };
        for rule in object["rules"].as_array().unwrap() {
            for group in list(&rule["apiGroups"]) {
                for resource in list(&rule["resources"]) {
                    for verb in list(&rule["verbs"]) {
                        deeds.insert((group.clone(), resource.clone(), verb));
                    }
                }
            }
        }
    }
    deeds
}

impl Pods {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let api = KubeApi::start(Arc::new(program)).await.unwrap();
        api.allow(allowed());
        api.restrict();
        let mut settings = settings(INSTALLATION);
        change(&mut settings);
        Self {
            backend: backend(&api.url(), settings.clone()),
            api,
            settings,
        }
    }

    /// What runs for the workspace, whether the API knows it or not.
    pub fn running(&self, workspace: WorkspaceId) -> Vec<Started> {
        let id = workspace.to_string();
        self.api.running(&[
            ("candor/installation", INSTALLATION),
            ("candor/workspace", &id),
        ])
    }

    fn path(&self, workspace: WorkspaceId, place: Place, path: &str) -> Option<PathBuf> {
        let started = self.running(workspace).pop()?;
        let mounted = |at: &str| started.mounts.get(at).cloned();
        let folder = match place {
            Place::Configs => mounted("/configs"),
            Place::Workspace => mounted("/workspace"),
            Place::Session => {
                let session = started.env.get("CLAUDE_CONFIG_DIR")?;
                Some(mounted("/configs")?.join(session.strip_prefix("/configs/")?))
            }
        };
        Some(folder?.join(path))
    }
}

#[async_trait]
impl World for Pods {
    fn backend(&self) -> &dyn Backend {
        &self.backend
    }

    async fn again(&self) -> Box<dyn Backend> {
        Box::new(backend(&self.api.url(), self.settings.clone()))
    }

    async fn neighbour(&self) -> Box<dyn Backend> {
        Box::new(backend(&self.api.url(), settings("installation-2")))
    }

    fn fit(&self, _: &mut Plan) {}

    fn impossible(&self) -> Vec<Impossible> {
        vec![
            Impossible::new("--allow-privileged (CANDOR_ALLOW_PRIVILEGED", |plan| {
                plan.tier = Tier::T3
            }),
            Impossible::new("--allow-privileged (CANDOR_ALLOW_PRIVILEGED", |plan| {
                plan.tier = Tier::T4
            }),
            Impossible::new("--kubernetes-node-folders", |plan| {
                plan.mount = Mount::Host {
                    path: "/srv".into(),
                    read_only: false,
                };
            }),
            Impossible::new("--images (CANDOR_IMAGES)", |plan| {
                plan.runtime = "unknown".into()
            }),
            Impossible::new("no digit first", |plan| set(plan, "1ST", "x")),
            Impossible::new("NUL", |plan| set(plan, "NUL", "a\0b")),
            Impossible::new("leave one out", |plan| {
                plan.files.push(config_file("config.yaml/x", "x"));
            }),
            Impossible::new("below /workspace", |plan| {
                plan.files
                    .push(config_file("big", vec![0; 1024 * 1024 + 1]));
            }),
        ]
    }

    fn largest_file(&self) -> usize {
        // A Secret holds 1 MiB, and the environment is there as well.
        1000 * 1024
    }

    async fn file(&self, workspace: WorkspaceId, place: Place, path: &str) -> Option<Seen> {
        let path = self.path(workspace, place, path)?;
        let content = fs::read(&path).ok()?;
        let mode = fs::metadata(&path).ok()?.permissions().mode() & 0o7777;
        Some(Seen {
            content,
            mode: Some(mode),
        })
    }

    async fn leave(&self, workspace: WorkspaceId, place: Place, path: &str, content: &str) {
        let path = self.path(workspace, place, path).expect("it runs");
        let folder = path.parent().unwrap();
        for above in folder.ancestors() {
            if above.symlink_metadata().is_ok_and(|there| !there.is_dir()) {
                fs::remove_file(above).unwrap();
            }
        }
        fs::create_dir_all(folder).unwrap();
        if path.is_dir() {
            fs::remove_dir_all(&path).unwrap();
        }
        fs::write(path, content).unwrap();
    }

    async fn env(&self, workspace: WorkspaceId) -> BTreeMap<String, String> {
        self.running(workspace).pop().expect("it runs").env
    }

    async fn shown(&self, workspace: WorkspaceId) -> String {
        let resources = [
            "pods",
            "services",
            "persistentvolumeclaims",
            "networkpolicies",
        ];
        let objects = resources
            .into_iter()
            .flat_map(|resource| self.api.objects(resource).into_values())
            .filter(|o| o["metadata"]["labels"]["candor/workspace"] == workspace.to_string());
        objects.map(|object| object.to_string()).collect()
    }

    async fn kill(&self, workspace: WorkspaceId) {
        self.api
            .kill(&[("candor/workspace", &workspace.to_string())]);
    }

    async fn instances(&self, workspace: WorkspaceId) -> usize {
        self.running(workspace).len()
    }

    async fn answers(&self, url: &str) -> bool {
        !self.api.reached(url).is_empty()
    }
}
