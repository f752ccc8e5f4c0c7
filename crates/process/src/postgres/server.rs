//! The server process: adopted, started, watched, stopped.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::cluster::Cluster;
use super::endpoint::{Endpoint, SOCKET_PORT};
use super::{Account, PostgresError, PostgresSettings, ROLE};

/// Between two looks at a server that starts or stops.
const POLL: Duration = Duration::from_millis(25);
/// Longest single attempt to connect while waiting.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Longest wait after the order to stop at once.
const IMMEDIATE_DEADLINE: Duration = Duration::from_secs(5);
/// How often a taken port is replaced by another.
const PORT_ATTEMPTS: usize = 3;

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    pid: i32,
    /// Absent if the server was adopted: then it is nobody's child of ours.
    child: Option<Child>,
}

impl Server {
    pub(super) async fn adopt_or_start(
        cluster: &Cluster,
        account: &Account,
        settings: &PostgresSettings,
    ) -> Result<(Self, Endpoint), PostgresError> {
        let deadline = Instant::now() + settings.start_deadline;
        if let Some(found) = adopt(cluster, deadline).await? {
            return Ok(found);
        }
        let mut attempt = 1;
        loop {
            let endpoint = Endpoint::choose(&cluster.directory)?;
            let started = start(cluster, account, &endpoint, deadline).await;
            match started {
                Ok(server) => return Ok((server, endpoint)),
                // The only thing that another port can mend.
                Err(PostgresError::NotStarted { log_tail, .. })
                    if attempt < PORT_ATTEMPTS
                        && matches!(endpoint, Endpoint::Tcp(_))
                        && log_tail.contains("Address already in use") =>
                {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn adopted(&self) -> bool {
        self.child.is_none()
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    pub(super) async fn gone(&mut self) {
        if let Some(child) = &mut self.child {
            if let Err(error) = child.wait().await {
                tracing::error!(%error, "waiting for PostgreSQL");
            }
            return;
        }
        while is_alive(self.pid) {
            sleep(Duration::from_millis(500)).await;
        }
    }

    pub(super) async fn stop(mut self, deadline: Duration) -> Result<(), PostgresError> {
        // Fast shutdown: transactions are rolled back, sessions ended.
        for (signal, limit) in [
            (Signal::SIGINT, deadline),
            (Signal::SIGQUIT, IMMEDIATE_DEADLINE),
        ] {
            match kill(Pid::from_raw(self.pid), signal) {
                Ok(()) => {}
                Err(Errno::ESRCH) => return Ok(()),
                Err(error) => {
                    tracing::error!(%error, pid = self.pid, "signalling PostgreSQL");
                    return Err(PostgresError::NotStopped(self.pid));
                }
            }
            if timeout(limit, self.wait_until_gone()).await.is_ok() {
                return Ok(());
            }
            tracing::warn!(pid = self.pid, ?signal, "PostgreSQL did not stop in time");
        }
        Err(PostgresError::NotStopped(self.pid))
    }

    async fn wait_until_gone(&mut self) {
        match &mut self.child {
            Some(child) => {
                if let Err(error) = child.wait().await {
                    tracing::error!(%error, "waiting for PostgreSQL");
                }
            }
            None => {
                while is_alive(self.pid) {
                    sleep(POLL).await;
                }
            }
        }
    }
}

// === adopting ===

/// The server that still runs on this cluster, once it answers. `None` if there
/// is none, or if it went away while we looked.
async fn adopt(
    cluster: &Cluster,
    deadline: Instant,
) -> Result<Option<(Server, Endpoint)>, PostgresError> {
    let mut seen = false;
    while let Some((pid, endpoint)) = running(&cluster.directory) {
        seen = true;
        if let Some(endpoint) = endpoint
            && serves(&endpoint.options(&cluster.password), &cluster.directory).await
        {
            tracing::info!(pid, "adopted the running PostgreSQL");
            return Ok(Some((Server { pid, child: None }, endpoint)));
        }
        if Instant::now() >= deadline {
            return Err(cluster.not_started(format!("(process {pid}) runs, but does not answer")));
        }
        sleep(POLL).await;
    }
    if seen {
        tracing::info!("the running PostgreSQL stopped meanwhile; starting it again");
    }
    Ok(None)
}

/// What `postmaster.pid` says, if the process it names is a live Postgres.
fn running(directory: &Path) -> Option<(i32, Option<Endpoint>)> {
    let text = fs::read_to_string(directory.join("postmaster.pid")).ok()?;
    let mut lines = text.lines();
    let pid: i32 = lines.next()?.trim().parse().ok()?;
    if !is_alive(pid) || !may_be_postgres(pid) {
        return None;
    }
    // Then: data directory, start time, port, socket directory, address. A
    // server that is only just starting has not written the later ones.
    let port = lines.nth(2).and_then(|line| line.trim().parse().ok());
    let socket = lines.next().map(str::trim).filter(|line| !line.is_empty());
    let endpoint = match (port, socket) {
        (Some(SOCKET_PORT), Some(directory)) => Some(Endpoint::Socket(directory.into())),
        (Some(port), _) => Some(Endpoint::Tcp(port)),
        (None, _) => None,
    };
    Some((pid, endpoint))
}

fn is_alive(pid: i32) -> bool {
    !matches!(kill(Pid::from_raw(pid), None), Err(Errno::ESRCH))
}

/// False only where the system says that the process is something else: its
/// number was given to another one since.
fn may_be_postgres(pid: i32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => name.starts_with("postgres") || name.starts_with("postmaster"),
        Err(_) => true,
    }
}

/// Whether a server answers there, and is the one of this cluster.
async fn serves(options: &PgConnectOptions, directory: &Path) -> bool {
    let asked = timeout(ATTEMPT, async {
        let mut connection =
            PgConnection::connect_with(&options.clone().database("postgres")).await?;
        let answer: String = sqlx::query_scalar("SHOW data_directory")
            .fetch_one(&mut connection)
            .await?;
        connection.close().await?;
        Ok::<_, sqlx::Error>(answer)
    })
    .await;
    match asked {
        Ok(Ok(answer)) => Path::new(&answer) == directory,
        Ok(Err(error)) => {
            tracing::debug!(%error, "PostgreSQL does not answer yet");
            false
        }
        Err(_) => false,
    }
}

// === starting ===

async fn start(
    cluster: &Cluster,
    account: &Account,
    endpoint: &Endpoint,
    deadline: Instant,
) -> Result<Server, PostgresError> {
    let mut child = spawn(cluster, account, endpoint)?;
    let options = endpoint.options(&cluster.password);
    loop {
        match child.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => {
                return Err(cluster.not_started(format!("stopped at once ({status})")));
            }
            Err(problem) => {
                return Err(PostgresError::Io {
                    path: cluster.binaries.postgres(),
                    problem,
                });
            }
        }
        if serves(&options, &cluster.directory).await {
            let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
            let pid = pid.ok_or_else(|| cluster.not_started("stopped at once"))?;
            return Ok(Server {
                pid,
                child: Some(child),
            });
        }
        if Instant::now() >= deadline {
            if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok())
                && let Err(error) = kill(Pid::from_raw(pid), Signal::SIGQUIT)
            {
                tracing::warn!(%error, pid, "stopping a PostgreSQL that does not answer");
            }
            return Err(cluster.not_started("does not answer in time"));
        }
        sleep(POLL).await;
    }
}

fn spawn(
    cluster: &Cluster,
    account: &Account,
    endpoint: &Endpoint,
) -> Result<Child, PostgresError> {
    let log = cluster.open_log()?;
    let errors = log.try_clone().map_err(|problem| PostgresError::Io {
        path: cluster.log.clone(),
        problem,
    })?;
    let mut command = Command::new(cluster.binaries.postgres());
    command.arg("-D").arg(&cluster.directory);
    match endpoint {
        Endpoint::Socket(directory) => {
            command.arg("-k").arg(directory);
            command.args(["-p", &SOCKET_PORT.to_string(), "-c", "listen_addresses="]);
        }
        Endpoint::Tcp(port) => {
            command.args([
                "-k",
                "",
                "-p",
                &port.to_string(),
                "-c",
                "listen_addresses=127.0.0.1",
            ]);
        }
    }
    for setting in [
        // Acknowledged means on disk (promise P10).
        "fsync=on",
        "synchronous_commit=on",
        "full_page_writes=on",
        "shared_buffers=128MB",
        "max_connections=100",
        // Short statements only; compiling them costs more than it saves.
        "jit=off",
        "wal_compression=on",
        "password_encryption=scram-sha-256",
        "logging_collector=off",
        "log_destination=stderr",
    ] {
        command.args(["-c", setting]);
    }
    account.run(&mut command);
    command
        .env_remove("PGDATA")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        // Not in our group: Ctrl-C is for Candor, which then drains.
        .process_group(0)
        .kill_on_drop(false)
        .spawn()
        .map_err(|problem| PostgresError::Io {
            path: cluster.binaries.postgres(),
            problem,
        })
}

/// Creates the database if it is not there.
pub(super) async fn ensure_database(
    maintenance: &PgConnectOptions,
    limit: Duration,
) -> Result<(), String> {
    timeout(limit, async {
        let mut connection = PgConnection::connect_with(maintenance).await?;
        let exists: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
                .bind(ROLE)
                .fetch_one(&mut connection)
                .await?;
        if !exists {
            sqlx::query("CREATE DATABASE candor")
                .execute(&mut connection)
                .await?;
        }
        connection.close().await
    })
    .await
    .map_err(|_| "its database was not there in time".to_owned())?
    .map_err(|error| format!("its database cannot be created: {error}"))
}
