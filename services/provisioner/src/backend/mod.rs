//! How instances are made, stopped and seen: one trait, and one conformance suite that
//! every backend passes.
//!
//! The reconciler calls the steps of one workspace one after the other, never two at a
//! time, and may call each again after a crash: every step is idempotent. A backend
//! decides nothing: it does what a [`Plan`] says, and says what it sees. Only
//! [`Observed::NotFound`] means that there is no instance; an error means that nothing is
//! known, and nothing follows from it.

pub mod docker;
pub mod kubernetes;
pub mod process;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use candor_kernel::token::TokenHash;
use candor_kernel::{Epoch, WorkspaceId};
use candor_process::config::Secret;

/// What an instance is made of. It is complete: a backend adds only what its own kind of
/// instance needs (`HOSTNAME`, ports, labels).
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whose instance it is.
    pub workspace: WorkspaceId,
    /// Which one; what runs with a lower number is an older instance.
    pub epoch: Epoch,
    /// The workspace's name, for people.
    pub name: String,
    /// What it runs: decides who claims it and the image.
    pub runtime: String,
    /// How much it may use, and what it may touch.
    pub tier: Tier,
    /// The image, where the runtime's default is not wanted. For containers and pods.
    pub image: Option<String>,
    /// Where the instance finds the platform.
    pub platform_url: String,
    /// The environment, whole; values may be secrets.
    pub env: BTreeMap<String, Secret>,
    /// Files below the instance's `/configs`, without the token.
    pub files: Vec<ConfigFile>,
    /// The token of this instance, written as `.auth_token` below `/configs`, mode 0600.
    pub token: Secret,
    /// What is mounted as `/workspace`.
    pub mount: Mount,
    /// Whether what the runtime keeps of its session is thrown away first.
    pub reset_session: bool,
}

/// Resources and privileges (contract/provisioner.md, "Tiers").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Read-only root, no `/workspace`.
    T1,
    /// 512 MiB, one CPU.
    T2,
    /// 2 GiB, two CPUs, privileged.
    T3,
    /// 4 GiB, four CPUs, privileged, the host's network.
    T4,
}

/// What is mounted as `/workspace`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// Nothing.
    None,
    /// A volume of the workspace's own, which outlives its instances.
    Volume,
    /// A folder of the host.
    Host {
        /// Where it is.
        path: PathBuf,
        /// Whether the instance may only read it.
        read_only: bool,
    },
}

/// One file below `/configs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// Relative, without `..`; checked where it is made ([`ConfigFile::new`]).
    path: String,
    /// What it says.
    pub content: Bytes,
}

/// A path that leads out of `/configs`, or is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no path below /configs")]
pub struct BadPath(pub String);

impl ConfigFile {
    /// A file at this path.
    ///
    /// # Errors
    /// [`BadPath`].
    pub fn new(path: impl Into<String>, content: impl Into<Bytes>) -> Result<Self, BadPath> {
        let path = path.into();
        let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        let fits = !path.contains(['\0', '\\']) && path.len() <= 512;
        if !fits || path.is_empty() || !path.split('/').all(is_plain) {
            return Err(BadPath(path));
        }
        let content = content.into();
        Ok(Self { path, content })
    }

    /// Where it is, below `/configs`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// An instance as it is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// There is none. The only thing that means dead.
    NotFound,
    /// It is there, and does not run yet.
    Starting {
        /// Its number.
        epoch: Epoch,
    },
    /// It runs.
    Running {
        /// Its number.
        epoch: Epoch,
        /// Where the platform reaches it, if it can be known.
        url: Option<String>,
    },
    /// It ended by itself and is still there to be looked at.
    Exited {
        /// Its number.
        epoch: Epoch,
        /// Why, for people: the exit status, whether memory ran out, its last words.
        why: String,
    },
}

/// An instance, or what is left of one, that carries this installation's mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// How it is.
    pub observed: Observed,
}

/// What is taken away with a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remove {
    /// Its configuration and session; its work stays.
    Configs,
    /// Everything, its work as well.
    Everything,
}

/// A file or folder of an instance, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileEntry {
    /// Below the folder that was listed.
    pub path: String,
    /// In bytes; 0 for folders.
    pub size: u64,
    /// Whether it is a folder.
    pub is_folder: bool,
}

/// A folder of an instance whose files may be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// `/configs`.
    Configs,
    /// `/workspace`.
    Workspace,
    /// `/home`.
    Home,
    /// `/plugins`.
    Plugins,
}

impl Root {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Configs, Self::Workspace, Self::Home, Self::Plugins];

    /// Where an instance has it.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Configs => "/configs",
            Self::Workspace => "/workspace",
            Self::Home => "/home",
            Self::Plugins => "/plugins",
        }
    }
}

/// What a backend sees of an instance's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Live<T> {
    /// Nothing: not by this backend, or there is nothing that it could look into.
    Unseen,
    /// This.
    Seen(T),
}

/// Longest file of an instance that is read, in bytes.
pub const LONGEST_FILE: u64 = 8 * 1024 * 1024;
/// Bytes of the files that an instance is given, unless its backend takes less.
pub const MOST_GIVEN: u64 = 40 * 1024 * 1024;
/// Files and folders of an instance that are listed.
pub const MOST_LISTED: usize = 5000;

/// Why a step was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// The daemon, the cluster or the file system does not answer as it should: nothing
    /// is known and nothing follows; the step is tried again.
    #[error("{0}")]
    Unavailable(String),
    /// The plan cannot be carried out, now or later, as it is: an image that is not
    /// there, a tier that is not allowed, a folder that does not exist. Names the fix.
    #[error("{0}")]
    Refused(String),
}

/// What a start says while it takes its time (pulling an image), for people.
pub trait Progress: Send + Sync {
    /// Something moved.
    fn told(&self, what: fmt::Arguments<'_>);
}

/// A way to run instances. Every call ends within the time that it is given, or within
/// the backend's own bound where it is given none.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Its name: `process`, `docker`, `kubernetes`.
    fn name(&self) -> &'static str;

    /// Whether it runs instances of this runtime. Nothing else may be asked of it.
    fn claims(&self, runtime: &str) -> bool;

    /// The runtimes that it claims now, in their order.
    fn runtimes(&self) -> Vec<String>;

    /// Bytes of the files and the environment that it gives to an instance, at most.
    fn most_given(&self) -> u64 {
        MOST_GIVEN
    }

    /// Whether it could start something now.
    ///
    /// # Errors
    /// [`BackendError`], with the fix.
    async fn ready(&self) -> Result<(), BackendError>;

    /// The workspace's instance, the newest if there are several.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`]: nothing is known.
    async fn observe(&self, workspace: WorkspaceId) -> Result<Observed, BackendError>;

    /// Ends every instance of the workspace and waits until none is found: asked first,
    /// killed after `grace`. What it wrote stays.
    ///
    /// # Errors
    /// [`BackendError`]: an instance may still run.
    async fn stop(&self, workspace: WorkspaceId, grace: Duration) -> Result<(), BackendError>;

    /// Brings what the plan needs and is not here yet (an image), which may take minutes.
    /// Worth calling while an older instance still runs; nothing else depends on it.
    ///
    /// # Errors
    /// [`BackendError`]; what runs is as it was.
    async fn prepare(&self, _plan: &Plan, _progress: &dyn Progress) -> Result<(), BackendError> {
        Ok(())
    }

    /// Writes what the instance of the plan will read: files and token. Nothing runs.
    /// A backend that cannot stop an instance first keeps each epoch's apart.
    ///
    /// # Errors
    /// [`BackendError`].
    async fn write(&self, plan: &Plan) -> Result<(), BackendError>;

    /// The hash of the token that the instance of this epoch will read, read back from
    /// where it will read it; nothing if there is none.
    ///
    /// # Errors
    /// [`BackendError`].
    async fn written_token(
        &self,
        workspace: WorkspaceId,
        epoch: Epoch,
    ) -> Result<Option<TokenHash>, BackendError>;

    /// Starts the instance of the plan, unless it runs. Returns once it runs.
    ///
    /// # Errors
    /// [`BackendError`]; what was made for it on the way may be left, to be stopped.
    async fn start(&self, plan: &Plan, progress: &dyn Progress) -> Result<Observed, BackendError>;

    /// Takes away what outlives the workspace's instances. None runs.
    ///
    /// # Errors
    /// [`BackendError`].
    async fn remove(&self, workspace: WorkspaceId, what: Remove) -> Result<(), BackendError>;

    /// Everything that carries this installation's mark, and nothing else.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`].
    async fn list(&self) -> Result<Vec<Found>, BackendError>;

    /// What is below a folder of the workspace's instance, each folder before what is in
    /// it; nothing below a folder that is not there. Links are neither shown nor followed,
    /// nor is the token shown.
    ///
    /// # Errors
    /// [`BackendError::Refused`] for more than [`MOST_LISTED`]; [`BackendError`].
    async fn list_files(
        &self,
        _workspace: WorkspaceId,
        _root: Root,
        _path: &str,
        _depth: usize,
    ) -> Result<Live<Vec<FileEntry>>, BackendError> {
        Ok(Live::Unseen)
    }

    /// A file of the workspace's instance, if it is there. Links are not followed. The
    /// token is never asked for.
    ///
    /// # Errors
    /// [`BackendError::Refused`] for one of more than [`LONGEST_FILE`]; [`BackendError`].
    async fn read_file(
        &self,
        _workspace: WorkspaceId,
        _root: Root,
        _path: &str,
    ) -> Result<Live<Option<Bytes>>, BackendError> {
        Ok(Live::Unseen)
    }

    /// Writes files below `/configs` of the workspace's instance, and says what they are
    /// in: `container` or `volume`.
    ///
    /// # Errors
    /// [`BackendError::Refused`] if a folder or a link is in the way; [`BackendError`].
    /// Some may be written then.
    async fn write_files(
        &self,
        _workspace: WorkspaceId,
        _files: &[ConfigFile],
    ) -> Result<Live<&'static str>, BackendError> {
        Ok(Live::Unseen)
    }

    /// Takes away a file below `/configs` of the workspace's instance, or a folder with
    /// all that is in it. That there is none is no error.
    ///
    /// # Errors
    /// [`BackendError`].
    async fn delete_file(
        &self,
        _workspace: WorkspaceId,
        _path: &str,
    ) -> Result<Live<()>, BackendError> {
        Ok(Live::Unseen)
    }
}
