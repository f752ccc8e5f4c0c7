//! `candor-workspace` as its users start it: an agent that beats for itself.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::platform::Binaries;
use crate::process::{Process, StartError};

/// How long a start may take.
const READY: Duration = Duration::from_secs(30);

/// A workspace's own folder, `CONFIGS_DIR`; it outlives the processes started on it.
#[derive(Debug)]
pub struct ConfigsDir(TempDir);

/// A running `candor-workspace`.
#[derive(Debug)]
pub struct Runtime(Process);

impl ConfigsDir {
    /// A fresh folder.
    ///
    /// # Errors
    /// When none can be made.
    pub fn new() -> io::Result<Self> {
        TempDir::with_prefix("candor-configs-").map(Self)
    }

    /// A fresh folder with a token, as whoever starts a workspace writes it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn with_token(token: &str) -> io::Result<Self> {
        let folder = Self::new()?;
        folder.write(".auth_token", token)?;
        Ok(folder)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file of it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> io::Result<()> {
        fs::write(self.path().join(name), text)
    }

    /// What a file of it says; nothing when it is not there.
    #[must_use]
    pub fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path().join(name)).ok()
    }
}

impl Binaries {
    /// `candor-workspace` for `workspace` on a free port, with settings as environment
    /// variables.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn workspace(
        &self,
        platform: SocketAddr,
        workspace: &str,
        configs: &ConfigsDir,
        env: &[(&str, &str)],
    ) -> Result<Runtime, StartError> {
        let mut command = self.command("candor-workspace");
        command
            .arg("--json")
            .env("WORKSPACE_ID", workspace)
            .env("PLATFORM_URL", format!("http://{platform}"))
            .env("CONFIGS_DIR", configs.path())
            .env("CANDOR_LISTEN", "127.0.0.1:0")
            .envs(env.iter().copied());
        let process = Process::start("candor-workspace", command, READY).await?;
        Ok(Runtime(process))
    }
}

impl Runtime {
    /// Where it serves A2A; port 9 (discard) when it announced no address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        let announced = self.0.announced("listen");
        announced
            .parse()
            .unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 9)))
    }

    /// Stops it in the middle of whatever it does (SIGSTOP); it keeps its connections.
    pub fn freeze(&mut self) {
        self.0.signal(Signal::SIGSTOP);
    }

    /// Lets it go on (SIGCONT).
    pub fn thaw(&mut self) {
        self.0.signal(Signal::SIGCONT);
    }

    /// What it printed.
    #[must_use]
    pub fn output(&self) -> String {
        self.0.output()
    }

    /// The process, to be watched, stopped or killed.
    pub fn process(&mut self) -> &mut Process {
        &mut self.0
    }
}
