//! Candor itself, as its users start it: one process, or one a service.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use crate::process::{Process, StartError};
use crate::wait::wait_until;

/// How long a start may take; a first start makes a Postgres cluster.
const READY: Duration = Duration::from_secs(60);
/// How long a gRPC call, or the start of a stream, may take.
const CALL: Duration = Duration::from_secs(30);
/// The key that separate processes of one test share.
pub const IDENTITY_KEY: &str = "0123456789abcdef0123456789abcdef";

/// The folder of the built binaries.
#[derive(Debug, Clone)]
pub struct Binaries(PathBuf);

/// A data directory that outlives the platforms started on it, and takes its
/// private Postgres down when it is dropped.
#[derive(Debug, Clone)]
pub struct DataDir(Arc<Dir>);

#[derive(Debug)]
struct Dir(TempDir);

/// A running `candor up`, or one service.
#[derive(Debug)]
pub struct Platform {
    process: Process,
    // Dropped after the process: it ends a Postgres that was left behind.
    _data: Option<DataDir>,
}

// === impl Binaries ===

impl Binaries {
    /// The binaries beside this one: `env!("CARGO_BIN_EXE_candor")`.
    #[must_use]
    pub fn beside(candor: &str) -> Self {
        let folder = Path::new(candor).parent().unwrap_or(Path::new("."));
        Self(folder.to_owned())
    }

    /// Where a program is.
    #[must_use]
    pub fn path(&self, program: &str) -> PathBuf {
        self.0.join(program)
    }

    /// A command with nothing of the surrounding environment that Candor reads.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.0.join(program));
        command.env_clear();
        for name in ["PATH", "HOME", "RUST_LOG", "RUST_BACKTRACE"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("MOLECULE_ENV", "development");
        command.env("CANDOR_IDENTITY_KEY", IDENTITY_KEY);
        command
    }

    /// `candor up` on free ports, with settings as environment variables.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn up(&self, data: &DataDir, env: &[(&str, &str)]) -> Result<Platform, StartError> {
        self.up_at("127.0.0.1:0", data, env).await
    }

    /// The same with its HTTP listener at an address.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn up_at(
        &self,
        http: &str,
        data: &DataDir,
        env: &[(&str, &str)],
    ) -> Result<Platform, StartError> {
        let mut command = self.command("candor");
        command
            .arg("up")
            .arg("--json")
            .arg("--data-dir")
            .arg(data.path());
        command.args(["--http", http]);
        for listener in ["--grpc", "--admin"] {
            command.args([listener, "127.0.0.1:0"]);
        }
        command.envs(env.iter().copied());
        let process = Process::start("candor up", command, READY).await?;
        Ok(Platform {
            process,
            _data: Some(data.clone()),
        })
    }

    /// Brings a database to the newest schema: `candor migrate up`.
    ///
    /// # Errors
    /// What it printed, when it failed.
    pub fn migrate(&self, database_url: &str) -> io::Result<()> {
        let done = self
            .command("candor")
            .args(["migrate", "up", "--database-url", database_url])
            .output()?;
        if done.status.success() {
            return Ok(());
        }
        let words = String::from_utf8_lossy(&done.stderr).into_owned();
        Err(io::Error::other(words))
    }

    /// A `candor-registry` on a migrated database.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn registry(
        &self,
        database_url: &str,
        env: &[(&str, &str)],
    ) -> Result<Platform, StartError> {
        self.registry_at("127.0.0.1:0", database_url, env).await
    }

    /// The same at an address.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn registry_at(
        &self,
        address: &str,
        database_url: &str,
        env: &[(&str, &str)],
    ) -> Result<Platform, StartError> {
        let settings = [("--database-url", database_url), ("--grpc", address)];
        self.service("candor-registry", &settings, env).await
    }

    /// A `candor-activity-log` on a migrated database, beside a registry.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn activity_log(
        &self,
        database_url: &str,
        registry: SocketAddr,
        env: &[(&str, &str)],
    ) -> Result<Platform, StartError> {
        self.activity_log_at("127.0.0.1:0", database_url, registry, env)
            .await
    }

    /// The same at an address.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn activity_log_at(
        &self,
        address: &str,
        database_url: &str,
        registry: SocketAddr,
        env: &[(&str, &str)],
    ) -> Result<Platform, StartError> {
        let registry = format!("http://{registry}");
        let settings = [
            ("--database-url", database_url),
            ("--registry", registry.as_str()),
            ("--grpc", address),
        ];
        self.service("candor-activity-log", &settings, env).await
    }

    /// A `candor-relay` on a migrated database, beside a registry and an activity log.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn relay(
        &self,
        database_url: &str,
        registry: SocketAddr,
        activity_log: SocketAddr,
        env: &[(&str, &str)],
    ) -> Result<Platform, StartError> {
        let address = "127.0.0.1:0";
        self.relay_at(address, database_url, registry, activity_log, env)
            .await
    }

    /// The same at an address.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn relay_at(
        &self,
        address: &str,
        database_url: &str,
        registry: SocketAddr,
        activity_log: SocketAddr,
        env: &[(&str, &str)],
    ) -> Result<Platform, StartError> {
        let registry = format!("http://{registry}");
        let activity_log = format!("http://{activity_log}");
        let settings = [
            ("--database-url", database_url),
            ("--registry", registry.as_str()),
            ("--activity-log", activity_log.as_str()),
            ("--grpc", address),
        ];
        self.service("candor-relay", &settings, env).await
    }

    /// A `candor-provisioner` on a migrated database, beside a registry. Where the others
    /// are is in its environment: `CANDOR_ACTIVITY_LOG`, `CANDOR_RELAY`; where the gateway
    /// is too: `CANDOR_HTTP`, or `CANDOR_PLATFORM_URL`.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn provisioner(
        &self,
        database_url: &str,
        registry: SocketAddr,
        env: &[(&str, &str)],
    ) -> Result<Platform, StartError> {
        let registry = format!("http://{registry}");
        let settings = [
            ("--database-url", database_url),
            ("--registry", registry.as_str()),
            ("--grpc", "127.0.0.1:0"),
        ];
        self.service("candor-provisioner", &settings, env).await
    }

    /// A `candor-gateway` in front of a registry. Where the others are is in its
    /// environment: `CANDOR_ACTIVITY_LOG`, `CANDOR_RELAY`, `CANDOR_PROVISIONER`.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn gateway(
        &self,
        registry: SocketAddr,
        env: &[(&str, &str)],
    ) -> Result<Platform, StartError> {
        self.gateway_at("127.0.0.1:0", registry, env).await
    }

    /// The same at an address.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn gateway_at(
        &self,
        address: &str,
        registry: SocketAddr,
        env: &[(&str, &str)],
    ) -> Result<Platform, StartError> {
        let registry = format!("http://{registry}");
        let settings = [("--registry", registry.as_str()), ("--http", address)];
        self.service("candor-gateway", &settings, env).await
    }

    async fn service(
        &self,
        program: &str,
        settings: &[(&str, &str)],
        env: &[(&str, &str)],
    ) -> Result<Platform, StartError> {
        let mut command = self.command(program);
        command.args(["--json", "--admin", "127.0.0.1:0"]);
        for (flag, value) in settings {
            command.args([flag, value].map(OsStr::new));
        }
        command.envs(env.iter().copied());
        let process = Process::start(program, command, READY).await?;
        Ok(Platform {
            process,
            _data: None,
        })
    }
}

// === impl Platform ===

impl Platform {
    /// The address of the legacy HTTP listener.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.listener("http")
    }

    /// The address of the gRPC listener.
    #[must_use]
    pub fn grpc(&self) -> SocketAddr {
        self.listener("grpc")
    }

    /// A channel to the gRPC listener; every call on it has a deadline.
    ///
    /// # Errors
    /// [`tonic::transport::Error`] when it does not accept.
    pub async fn channel(&self) -> Result<Channel, tonic::transport::Error> {
        Endpoint::new(format!("http://{}", self.grpc()))?
            .connect_timeout(CALL)
            .timeout(CALL)
            .connect()
            .await
    }

    /// The address of health and metrics.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.listener("admin")
    }

    /// Where its data is.
    #[must_use]
    pub fn database_url(&self) -> String {
        self.process.announced("database_url")
    }

    /// The process, to be watched, stopped or killed.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Port 9 (discard) when it announced no such listener, so that the test
    /// fails on the connection and says where.
    fn listener(&self, name: &str) -> SocketAddr {
        let announced = self.process.announced(name);
        let addr = announced.trim_start_matches("http://");
        addr.parse()
            .unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 9)))
    }
}

// === impl DataDir ===

impl DataDir {
    /// A fresh directory.
    ///
    /// # Errors
    /// When none can be made.
    pub fn new() -> io::Result<Self> {
        let dir = TempDir::with_prefix("candor-data-")?;
        // As root the private Postgres runs as somebody else, who must get in.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
        Ok(Self(Arc::new(Dir(dir))))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.0.path()
    }

    /// The process id of the Postgres that runs in it, if one does.
    #[must_use]
    pub fn postmaster(&self) -> Option<i32> {
        self.0.postmaster()
    }

    /// Waits until no Postgres runs in it.
    pub async fn is_quiet(&self, within: Duration) -> bool {
        wait_until(within, || self.postmaster().is_none()).await
    }
}

impl Dir {
    fn postmaster(&self) -> Option<i32> {
        let file = find(self.0.path(), "postmaster.pid", 3)?;
        let pid = fs::read_to_string(file).ok()?;
        let pid = pid.lines().next()?.trim().parse().ok()?;
        kill(Pid::from_raw(pid), None).ok().map(|()| pid)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if let Some(pid) = self.postmaster() {
            // SIGQUIT is the immediate shutdown; the data goes with it.
            kill(Pid::from_raw(pid), Signal::SIGQUIT).ok();
        }
    }
}

fn find(folder: &Path, name: &str, depth: u8) -> Option<PathBuf> {
    let here = folder.join(name);
    if here.is_file() {
        return Some(here);
    }
    if depth == 0 {
        return None;
    }
    fs::read_dir(folder)
        .ok()?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .find_map(|path| find(&path, name, depth - 1))
}
