//! Instances as processes of this machine: `candor-workspace`, each with a folder, a
//! port and an environment of its own.
//!
//! What it is not: a sandbox. An instance is a process of the platform's own user, with
//! that user's rights and this machine's network. Who does not trust an agent runs it in
//! a container.
//!
//! **Fate.** An instance outlives the platform, however that ends, and a platform that
//! starts later, or another one of the installation, finds it: by a note with the number
//! of its process, that process' start and the machine's, so that another process with
//! that number is never taken for it; or, where a platform was killed before it could
//! note that, by the mark in the instance's environment. A start of the machine ends
//! instances. Under systemd, `KillMode=process` is what keeps them. How an instance
//! ended is known to the platform that started it, and to later ones from its note.
//!
//! **Limits.** Memory for each process of an instance, by tier (512 MiB, 2 GiB, 4 GiB;
//! `RLIMIT_DATA`), but for `candor-claude-code`, whose CLI reserves more than it uses;
//! no core dumps; when memory runs out, instances go first. Not limited: CPU, the number
//! of processes, disk, the sum over an instance's processes: an unprivileged parent
//! cannot. Tier 1 is refused, since its read-only system cannot be had; tiers 3 and 4
//! give no privileges.
//!
//! **Log.** `log` in the workspace's folder, cut to its end (`log.earlier`) when it is
//! longer than [`ProcessSettings::log_bytes`] while the instance is observed; while no
//! platform runs it is not cut.
//!
//! **Stop.** The instance and its process group are asked; after the grace everything
//! that descends from it or carries its mark is killed. What cleared its environment
//! *and* lost its parent before the stop is not found.

mod children;
mod launch;
mod log;
mod members;
mod place;
mod plan;
mod proc;
mod record;
mod steps;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use candor_kernel::token::TokenHash;
use candor_kernel::{Epoch, WorkspaceId};
use tokio::time::{Instant, sleep, timeout};

use self::children::Children;
use super::{
    Backend, BackendError, ConfigFile, FileEntry, Found, Live, Observed, Plan, Progress, Remove,
    Root,
};

/// Longest step, beside what a stop waits for; the wait for another step included.
const STEP: Duration = Duration::from_secs(40);
/// How often it is looked whether an instance is ready.
const POLL: Duration = Duration::from_millis(15);

/// Where and how instances are run.
#[derive(Debug, Clone)]
pub struct ProcessSettings {
    /// The folder below which each workspace has its own. It need not exist.
    pub root: PathBuf,
    /// `candor-workspace`.
    pub program: PathBuf,
    /// The installation whose instances these are; another one's are not seen.
    pub installation: String,
    /// How long an instance may take to say that it is ready.
    pub ready_within: Duration,
    /// Longest log of an instance that is kept, in bytes.
    pub log_bytes: u64,
}

/// Instances as processes of this machine.
#[derive(Debug)]
pub struct ProcessBackend {
    settings: Arc<ProcessSettings>,
    children: Children,
}

/// Why a step was not done, before it is put into words.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It can be tried again.
    #[error("{0}")]
    Busy(String),
    /// It cannot.
    #[error("{0}")]
    Refused(String),
}

// === impl ProcessSettings ===

impl ProcessSettings {
    /// With half a minute to be ready and logs of 4 MiB.
    #[must_use]
    pub fn new(root: PathBuf, program: PathBuf, installation: impl Into<String>) -> Self {
        Self {
            root,
            program,
            installation: installation.into(),
            ready_within: Duration::from_secs(30),
            log_bytes: 4 * 1024 * 1024,
        }
    }
}

// === impl ProcessBackend ===

impl ProcessBackend {
    /// With these settings. Nothing is touched yet.
    #[must_use]
    pub fn new(mut settings: ProcessSettings) -> Self {
        // An instance works in another folder than the platform.
        for path in [&mut settings.root, &mut settings.program] {
            if let Ok(absolute) = std::path::absolute(&path) {
                *path = absolute;
            }
        }
        Self {
            settings: Arc::new(settings),
            children: Children::default(),
        }
    }

    /// Does a step where it may block.
    async fn step<T: Send + 'static>(
        &self,
        within: Duration,
        step: impl FnOnce(&ProcessSettings) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, BackendError> {
        let settings = Arc::clone(&self.settings);
        let done = tokio::task::spawn_blocking(move || step(&settings));
        match timeout(within, done).await {
            Ok(Ok(outcome)) => outcome.map_err(|failure| self.said(failure)),
            Ok(Err(panicked)) => Err(BackendError::Unavailable(panicked.to_string())),
            Err(_) => Err(self.said(Failure::Busy(format!(
                "the file system does not answer within {within:?}"
            )))),
        }
    }

    fn said(&self, failure: Failure) -> BackendError {
        let root = self.settings.root.display();
        match failure {
            Failure::Refused(why) => BackendError::Refused(why),
            Failure::Busy(why) => BackendError::Unavailable(format!("{root}: {why}")),
            Failure::Io(error) if error.kind() == io::ErrorKind::InvalidFilename => {
                BackendError::Refused(format!(
                    "{root}: a file has a name that cannot be one here: {error}; shorten it"
                ))
            }
            Failure::Io(error) => BackendError::Unavailable(format!("{root}: {error}")),
        }
    }

    async fn look(&self, workspace: WorkspaceId) -> Result<Observed, BackendError> {
        let (observed, ended) = self.step(STEP, move |s| s.observe(workspace)).await?;
        let Some(process) = ended.filter(|process| self.children.has(workspace, process)) else {
            return Ok(observed);
        };
        // It ended a moment ago: how is about to be noted.
        self.children.noted(workspace, &process).await;
        let (observed, _) = self.step(STEP, move |s| s.observe(workspace)).await?;
        Ok(observed)
    }

    /// Waits until the instance says that it is ready.
    async fn readiness(&self, plan: &Plan) -> Result<Observed, BackendError> {
        let within = self.settings.ready_within;
        let deadline = Instant::now() + within;
        let (workspace, epoch) = (plan.workspace, plan.epoch);
        loop {
            match self.look(workspace).await? {
                Observed::Starting { .. } if Instant::now() < deadline => sleep(POLL).await,
                Observed::Starting { .. } => {
                    return Err(self.said(Failure::Busy(format!(
                        "instance {epoch} has not said within {within:?} that it is ready"
                    ))));
                }
                Observed::NotFound => {
                    return Err(self.said(Failure::Busy(format!(
                        "instance {epoch} was stopped while it started"
                    ))));
                }
                Observed::Running { epoch, url } => {
                    if let Some(url) = url.clone() {
                        self.step(STEP, move |s| s.note_url(workspace, &url))
                            .await?;
                    }
                    return Ok(Observed::Running { epoch, url });
                }
                exited @ Observed::Exited { .. } => return Ok(exited),
            }
        }
    }
}

#[async_trait]
impl Backend for ProcessBackend {
    fn name(&self) -> &'static str {
        "process"
    }

    fn claims(&self, runtime: &str) -> bool {
        plan::RUNTIMES.contains(&runtime) && self.settings.program.is_file()
    }

    fn runtimes(&self) -> Vec<String> {
        let mut runtimes = plan::RUNTIMES.map(str::to_owned).to_vec();
        runtimes.sort();
        runtimes.retain(|runtime| self.claims(runtime));
        runtimes
    }

    async fn ready(&self) -> Result<(), BackendError> {
        self.step(STEP, ProcessSettings::ready).await
    }

    async fn observe(&self, workspace: WorkspaceId) -> Result<Observed, BackendError> {
        self.look(workspace).await
    }

    async fn stop(&self, workspace: WorkspaceId, grace: Duration) -> Result<(), BackendError> {
        let within = STEP.saturating_add(grace);
        let ended = self.step(within, move |s| s.stop(workspace, grace)).await?;
        if let Some(process) = ended {
            self.children.noted(workspace, &process).await;
        }
        Ok(())
    }

    async fn write(&self, plan: &Plan) -> Result<(), BackendError> {
        let plan = plan.clone();
        self.step(STEP, move |s| s.write(&plan)).await
    }

    async fn written_token(
        &self,
        workspace: WorkspaceId,
        epoch: Epoch,
    ) -> Result<Option<TokenHash>, BackendError> {
        self.step(STEP, move |s| s.written_token(workspace, epoch))
            .await
    }

    async fn start(&self, plan: &Plan, progress: &dyn Progress) -> Result<Observed, BackendError> {
        let (owned, children) = (plan.clone(), self.children.clone());
        let settings = Arc::clone(&self.settings);
        let started = self.step(STEP, move |s| {
            let Some((process, child)) = s.launch(&owned)? else {
                return Ok(None);
            };
            let pid = process.pid;
            // Here, so that it is attended even if nobody waits for this any more.
            children.attend(settings, owned.workspace, process, child);
            Ok(Some(pid))
        });
        if let Some(pid) = started.await? {
            progress.told(format_args!("process {pid} was started"));
        }
        self.readiness(plan).await
    }

    async fn remove(&self, workspace: WorkspaceId, what: Remove) -> Result<(), BackendError> {
        self.step(STEP, move |s| s.remove(workspace, what)).await
    }

    async fn list(&self) -> Result<Vec<Found>, BackendError> {
        self.step(STEP, |s| s.list()).await
    }

    async fn list_files(
        &self,
        workspace: WorkspaceId,
        root: Root,
        path: &str,
        depth: usize,
    ) -> Result<Live<Vec<FileEntry>>, BackendError> {
        let path = path.to_owned();
        let list = move |s: &ProcessSettings| s.list_files(workspace, root, &path, depth);
        self.step(STEP, list).await
    }

    async fn read_file(
        &self,
        workspace: WorkspaceId,
        root: Root,
        path: &str,
    ) -> Result<Live<Option<Bytes>>, BackendError> {
        let path = path.to_owned();
        let read = move |s: &ProcessSettings| s.read_file(workspace, root, &path);
        self.step(STEP, read).await
    }

    async fn write_files(
        &self,
        workspace: WorkspaceId,
        files: &[ConfigFile],
    ) -> Result<Live<&'static str>, BackendError> {
        let files = files.to_vec();
        let write = move |s: &ProcessSettings| s.write_files(workspace, &files);
        self.step(STEP, write).await
    }

    async fn delete_file(
        &self,
        workspace: WorkspaceId,
        path: &str,
    ) -> Result<Live<()>, BackendError> {
        let path = path.to_owned();
        let delete = move |s: &ProcessSettings| s.delete_file(workspace, &path);
        self.step(STEP, delete).await
    }
}
