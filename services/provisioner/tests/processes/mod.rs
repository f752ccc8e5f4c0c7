//! The backend `process` on a folder of its own, and how to look past it.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;

use async_trait::async_trait;
use candor_kernel::WorkspaceId;
use candor_provisioner::backend::process::{ProcessBackend, ProcessSettings};
use candor_provisioner::backend::{Backend, Mount, Observed, Plan, Tier};
use candor_testkit::process::is_alive;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use uuid::Uuid;

use crate::conformance::inside::{Inside, program};
use crate::conformance::{Impossible, Place, Seen, World};

/// Instances as processes, on a folder of their own.
pub struct Processes {
    pub folder: TempDir,
    pub settings: ProcessSettings,
    pub backend: ProcessBackend,
}

impl Processes {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut ProcessSettings)) -> Self {
        let folder = TempDir::with_prefix("candor-processes-").unwrap();
        let installation = Uuid::new_v4().to_string();
        let root = folder.path().join("instances");
        let mut settings = ProcessSettings::new(root, program(), installation);
        change(&mut settings);
        Self {
            folder,
            backend: ProcessBackend::new(settings.clone()),
            settings,
        }
    }

    /// Where what belongs to the workspace is.
    pub fn place(&self, workspace: WorkspaceId) -> PathBuf {
        self.settings.root.join(workspace.to_string())
    }

    /// The processes with the mark of the workspace, or of all.
    pub fn marked(&self, workspace: Option<WorkspaceId>) -> Vec<i32> {
        let below = workspace.map_or(String::new(), |id| format!("{id}/"));
        let mark = format!("CANDOR_INSTANCE={}/{below}", self.settings.installation);
        let numbers = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
            let mut variables = environ.split(|byte| *byte == 0);
            variables
                .any(|variable| variable.starts_with(mark.as_bytes()))
                .then_some(pid)
        });
        numbers.filter(|pid| is_alive(*pid)).collect()
    }

    /// Those of them that are instances, not what instances started.
    pub fn instances_of(&self, workspace: WorkspaceId) -> Vec<i32> {
        let mut marked = self.marked(Some(workspace));
        marked.retain(|pid| is_ours(*pid));
        marked
    }

    /// The one instance's process.
    pub fn process(&self, workspace: WorkspaceId) -> i32 {
        let instances = self.instances_of(workspace);
        assert_eq!(instances.len(), 1, "{instances:?}");
        instances[0]
    }

    pub async fn inside(&self, workspace: WorkspaceId) -> Inside {
        match self.backend.observe(workspace).await.unwrap() {
            Observed::Running { url: Some(url), .. } => Inside::at(&url).expect("an address"),
            other => panic!("it does not run: {other:?}"),
        }
    }
}

/// What the process was started with, a line each.
fn arguments(pid: i32) -> String {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&arguments).replace('\0', "\n")
}

fn is_ours(pid: i32) -> bool {
    let program = program();
    let arguments = arguments(pid);
    arguments.lines().next().map(Path::new) == Some(program.as_path())
}

impl Drop for Processes {
    fn drop(&mut self) {
        for pid in self.marked(None) {
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
        // The backend may be noting their end there.
        let gone = (0..1_000).any(|_| {
            fs::remove_dir_all(self.folder.path()).ok();
            !self.folder.path().exists()
        });
        assert!(gone || std::thread::panicking(), "{:?}", self.folder);
    }
}

#[async_trait]
impl World for Processes {
    fn backend(&self) -> &dyn Backend {
        &self.backend
    }

    async fn again(&self) -> Box<dyn Backend> {
        Box::new(ProcessBackend::new(self.settings.clone()))
    }

    async fn neighbour(&self) -> Box<dyn Backend> {
        Box::new(ProcessBackend::new(ProcessSettings {
            installation: "another".to_owned(),
            ..self.settings.clone()
        }))
    }

    fn fit(&self, _: &mut Plan) {}

    fn impossible(&self) -> Vec<Impossible> {
        let nowhere = self.folder.path().join("nowhere");
        let folder = self.folder.path().to_owned();
        let host = |path: PathBuf, read_only| {
            move |plan: &mut Plan| {
                plan.mount = Mount::Host {
                    path: path.clone(),
                    read_only,
                }
            }
        };
        vec![
            Impossible::new("tier 2", |plan| plan.tier = Tier::T1),
            Impossible::new("workspace_dir", host(nowhere, false)),
            Impossible::new("workspace_dir", host("relative".into(), false)),
            Impossible::new("read_write", host(folder, true)),
            Impossible::new("candor-echo", |plan| plan.runtime = "langgraph".to_owned()),
            Impossible::new("NUL", |plan| {
                crate::conformance::set(plan, "BROKEN", "a secret of sixteen\0bytes");
            }),
        ]
    }

    async fn file(&self, workspace: WorkspaceId, place: Place, path: &str) -> Option<Seen> {
        self.inside(workspace).await.file(place, path).await
    }

    async fn leave(&self, workspace: WorkspaceId, place: Place, path: &str, content: &str) {
        self.inside(workspace)
            .await
            .leave(place, path, content)
            .await;
    }

    async fn env(&self, workspace: WorkspaceId) -> BTreeMap<String, String> {
        self.inside(workspace).await.env().await
    }

    async fn shown(&self, workspace: WorkspaceId) -> String {
        let process = self.process(workspace);
        let folder = fs::read_link(format!("/proc/{process}/cwd")).unwrap();
        format!("{}\n{}", arguments(process), folder.display())
    }

    async fn kill(&self, workspace: WorkspaceId) {
        let process = self.process(workspace);
        kill(Pid::from_raw(process), Signal::SIGKILL).unwrap();
    }

    async fn instances(&self, workspace: WorkspaceId) -> usize {
        self.instances_of(workspace).len()
    }

    async fn answers(&self, url: &str) -> bool {
        match Inside::at(url) {
            Some(inside) => inside.answers().await,
            None => false,
        }
    }
}

/// A process that has nothing to do with any instance; it ends with this.
pub struct Bystander(pub Child);

impl Bystander {
    pub fn new() -> Self {
        let sleeper = std::process::Command::new("sleep").arg("600").spawn();
        Self(sleeper.unwrap())
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }

    pub fn lives(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
