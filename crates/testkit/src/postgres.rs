//! A private Postgres server of the tests' own, which they may stop.
//!
//! The server is made from the system's binaries in a temporary directory. As
//! root it runs as an unprivileged user, because Postgres refuses root.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tempfile::TempDir;

use crate::wait::{TimedOut, wait_for};

/// How long a condition on what is stored may take to hold.
const SOON: Duration = Duration::from_secs(30);
/// How long the server may take to answer after a start.
const START: Duration = Duration::from_secs(20);

/// The fixture cannot do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// No server binaries on this machine.
    #[error("no Postgres server binaries (initdb, postgres) on PATH or in /usr/lib/postgresql")]
    NoBinaries,
    /// A file or process could not be handled.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// `initdb` refused; its words.
    #[error("initdb: {0}")]
    Initdb(String),
    /// It does not answer.
    #[error(transparent)]
    TimedOut(#[from] TimedOut),
    /// A statement failed.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

/// A running (or stopped) server; gone with its data when dropped.
#[derive(Debug)]
pub struct Postgres {
    bin: PathBuf,
    dir: TempDir,
    port: u16,
    owner: Option<u32>,
    server: Option<Child>,
    databases: AtomicU32,
}

impl Postgres {
    /// Makes a cluster and starts it.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn start_new() -> Result<Self, PostgresError> {
        let bin = binaries().ok_or(PostgresError::NoBinaries)?;
        let dir = TempDir::with_prefix("candor-pg-")?;
        let owner = unprivileged();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700))?;
        if let Some(uid) = owner {
            chown(dir.path(), Some(uid), None)?;
        }
        let mut postgres = Self {
            bin,
            dir,
            port: free_port()?,
            owner,
            server: None,
            databases: AtomicU32::new(0),
        };
        postgres.initdb()?;
        postgres.start().await?;
        Ok(postgres)
    }

    /// Starts the server, on the same port as before.
    ///
    /// # Errors
    /// [`PostgresError`]; [`PostgresError::TimedOut`] when it does not answer.
    pub async fn start(&mut self) -> Result<(), PostgresError> {
        let mut command = self.command("postgres");
        command
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "max_connections=200"])
            .arg("-c")
            .arg(format!(
                "unix_socket_directories={}",
                self.dir.path().display()
            ))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.server = Some(command.spawn()?);
        let url = self.url("postgres");
        wait_for("Postgres to answer", START, || {
            let url = url.clone();
            async move { PgConnection::connect(&url).await.ok() }
        })
        .await?;
        Ok(())
    }

    /// Ends the server at once, cutting every connection; data stays.
    ///
    /// # Errors
    /// [`PostgresError::Io`] when it cannot be waited for.
    pub fn stop(&mut self) -> Result<(), PostgresError> {
        if let Some(mut server) = self.server.take() {
            // SIGINT is Postgres' fast shutdown: roll back, disconnect, end.
            signal(&server, Signal::SIGINT);
            server.wait()?;
        }
        Ok(())
    }

    /// Stops the server's processes where they are: connections stay, nothing
    /// answers, as behind a network that swallows everything.
    pub fn freeze(&self) {
        self.signal_all(Signal::SIGSTOP);
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        self.signal_all(Signal::SIGCONT);
    }

    fn signal_all(&self, which: Signal) {
        let Some(server) = &self.server else { return };
        signal(server, which);
        let pid = server.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        for child in children.unwrap_or_default().split_whitespace() {
            if let Ok(pid) = child.parse() {
                kill(Pid::from_raw(pid), which).ok();
            }
        }
    }

    /// Makes an empty database, and answers its URL.
    ///
    /// # Errors
    /// [`PostgresError::Sql`].
    pub async fn create_database(&self) -> Result<String, PostgresError> {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut admin = PgConnection::connect(&self.url("postgres")).await?;
        let statement = format!("CREATE DATABASE {name}");
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut admin)
            .await?;
        admin.close().await?;
        Ok(self.url(&name))
    }

    /// The URL of a database on this server.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://candor@127.0.0.1:{}/{database}", self.port)
    }

    fn initdb(&self) -> Result<(), PostgresError> {
        let done = self
            .command("initdb")
            .arg("-D")
            .arg(self.data())
            .args(["-U", "candor", "--auth=trust", "--no-sync"])
            .args(["--encoding=UTF8", "--locale=C"])
            .output()?;
        if done.status.success() {
            return Ok(());
        }
        let words = String::from_utf8_lossy(&done.stderr).into_owned();
        Err(PostgresError::Initdb(words))
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.current_dir(self.dir.path()).env("LC_ALL", "C");
        if let Some(uid) = self.owner {
            command.uid(uid);
        }
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.thaw();
        if let Some(mut server) = self.server.take() {
            // SIGQUIT is the immediate shutdown; the data is deleted anyway.
            signal(&server, Signal::SIGQUIT);
            server.wait().ok();
        }
    }
}

fn signal(child: &Child, signal: Signal) {
    if let Ok(pid) = i32::try_from(child.id()) {
        kill(Pid::from_raw(pid), signal).ok();
    }
}

/// The folder that has both `initdb` and `postgres`.
fn binaries() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        let mut found: Vec<PathBuf> = versions
            .filter_map(Result::ok)
            .map(|entry| entry.path().join("bin"))
            .collect();
        found.sort();
        found.reverse();
        folders.extend(found);
    }
    folders.into_iter().find(|folder| has_both(folder))
}

fn has_both(folder: &Path) -> bool {
    folder.join("initdb").is_file() && folder.join("postgres").is_file()
}

/// Whom Postgres runs as when this process is root.
fn unprivileged() -> Option<u32> {
    if !Uid::effective().is_root() {
        return None;
    }
    ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| User::from_name(name).ok().flatten())
        .map(|user| user.uid.as_raw())
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// One number out of a database, for checks.
///
/// # Errors
/// [`sqlx::Error`].
pub async fn count(url: &str, query: &str) -> Result<i64, sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    let row = sqlx::query(AssertSqlSafe(query.to_owned()))
        .fetch_one(&mut connection)
        .await?;
    connection.close().await?;
    row.try_get(0)
}

/// One text out of a database, for checks; empty when it is NULL.
///
/// # Errors
/// [`sqlx::Error`].
pub async fn text(url: &str, query: &str) -> Result<String, sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    let row = sqlx::query(AssertSqlSafe(query.to_owned()))
        .fetch_one(&mut connection)
        .await?;
    connection.close().await?;
    Ok(row.try_get::<Option<String>, _>(0)?.unwrap_or_default())
}

/// Waits until a query that answers one text (NULL: empty) answers the wanted one.
///
/// # Errors
/// [`TimedOut`] after half a minute, with what it answered last.
pub async fn becomes(url: &str, query: &str, wanted: &str) -> Result<(), TimedOut> {
    let mut last = Ok(String::new());
    let deadline = tokio::time::Instant::now() + SOON;
    while tokio::time::Instant::now() < deadline {
        last = text(url, query).await.map_err(|error| error.to_string());
        if last.as_deref() == Ok(wanted) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(TimedOut {
        what: format!("{wanted:?} from {query}; last it was {last:?}"),
        within: SOON,
    })
}

/// Runs statements in a database: puts rows into states that no route reaches.
///
/// # Errors
/// [`sqlx::Error`].
pub async fn execute(url: &str, statements: &str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
        .execute(&mut connection)
        .await?;
    connection.close().await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn databases_survive_a_stop_and_a_start() {
        let mut postgres = Postgres::start_new().await.unwrap();
        let url = postgres.create_database().await.unwrap();
        execute(
            &url,
            "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)",
        )
        .await
        .unwrap();
        postgres.stop().unwrap();
        assert!(count(&url, "SELECT n::bigint FROM kept").await.is_err());
        postgres.start().await.unwrap();
        let kept = count(&url, "SELECT n::bigint FROM kept").await.unwrap();
        assert_eq!(kept, 7);
    }
}
