//! The private Postgres: a cluster in the data directory, for `candor up`
//! without a database URL (design section 2).
//!
//! It listens on a socket inside its own 0700 directory, or on 127.0.0.1 where
//! that path is too long for a socket, and asks for a password either way. It is
//! in a process group of its own: Ctrl-C reaches Candor only, which drains first.
//! It outlives a killed Candor, and the next start adopts it.

mod account;
mod binaries;
mod cluster;
mod endpoint;
mod server;

use std::path::PathBuf;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

use crate::data_dir::DataDir;

pub use account::Account;
pub use binaries::Binaries;

/// The role and the database of the private cluster.
pub(crate) const ROLE: &str = "candor";

/// How the private Postgres is found, started and stopped.
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    /// Where `initdb` and `postgres` are (`--pg-bin`, `CANDOR_PG_BIN`); searched
    /// for if `None`.
    pub bin_dir: Option<PathBuf>,
    /// Longest wait for it to answer, crash recovery included.
    pub start_deadline: Duration,
    /// Longest wait for a fast shutdown; then an immediate one.
    pub stop_deadline: Duration,
}

impl Default for PostgresSettings {
    fn default() -> Self {
        Self {
            bin_dir: None,
            start_deadline: Duration::from_secs(60),
            stop_deadline: Duration::from_secs(10),
        }
    }
}

/// Why there is no private Postgres.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// No binaries on this machine.
    #[error(
        "no PostgreSQL{} on this machine (looked for initdb and postgres in {looked_in}): \
         install it (Debian, Ubuntu: `apt-get install postgresql{}`), or set CANDOR_PG_BIN to the \
         folder that holds them, or pass --database-url",
        version.as_ref().map(|v| format!(" {v}")).unwrap_or_default(),
        version.as_ref().map(|v| format!("-{v}")).unwrap_or_default()
    )]
    NoBinaries {
        /// The major version that the existing cluster needs, if there is one.
        version: Option<String>,
        /// The places.
        looked_in: String,
    },
    /// Postgres refuses root, and there is no other user.
    #[error("PostgreSQL does not run as root, and neither user postgres nor nobody exists")]
    NoAccount,
    /// The unprivileged user cannot get to the data directory.
    #[error(
        "user {user} cannot enter {}: run `chmod o+x {}`, choose another --data-dir, or do not run as root",
        directory.display(), directory.display()
    )]
    NotTraversable {
        /// The user that Postgres runs as.
        user: String,
        /// The directory that it cannot enter.
        directory: PathBuf,
    },
    /// `initdb` failed.
    #[error("initdb failed: {0}")]
    Initdb(String),
    /// The server stopped, or did not answer in time.
    #[error("PostgreSQL {problem}; the end of {}:\n{log_tail}", log.display())]
    NotStarted {
        /// What happened.
        problem: String,
        /// The log file.
        log: PathBuf,
        /// Its last lines.
        log_tail: String,
    },
    /// It did not stop, even when told to stop at once.
    #[error("PostgreSQL (process {0}) did not stop")]
    NotStopped(i32),
    /// The file system refused.
    #[error("{}: {problem}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        problem: std::io::Error,
    },
}

/// A running private Postgres. Dropping it leaves the server running, as a kill
/// would; [`PrivatePostgres::stop`] stops it.
#[derive(Debug)]
pub struct PrivatePostgres {
    server: server::Server,
    options: PgConnectOptions,
    url: String,
    stop_deadline: Duration,
}

impl PrivatePostgres {
    /// Creates the cluster if need be, adopts the server if one still runs on
    /// it, else starts it, and waits until it answers.
    ///
    /// # Errors
    /// See [`PostgresError`]; each says what to do.
    pub async fn start(
        data_dir: &DataDir,
        settings: &PostgresSettings,
    ) -> Result<Self, PostgresError> {
        let account = Account::choose()?;
        let cluster = cluster::Cluster::prepare(data_dir, &account, settings).await?;
        let (server, endpoint) =
            server::Server::adopt_or_start(&cluster, &account, settings).await?;
        let maintenance = endpoint.options(&cluster.password).database("postgres");
        let database = server::ensure_database(&maintenance, settings.start_deadline).await;
        if let Err(problem) = database {
            return Err(cluster.not_started(format!("runs, but {problem}")));
        }
        Ok(Self {
            server,
            options: endpoint.options(&cluster.password),
            url: endpoint.url(&cluster.password),
            stop_deadline: settings.stop_deadline,
        })
    }

    /// How to connect.
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// How to connect, as a URL with the password in it: never log it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether the server was already running.
    #[must_use]
    pub fn adopted(&self) -> bool {
        self.server.adopted()
    }

    /// The server's process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.server.pid()
    }

    /// Resolves when the server is gone without having been told to.
    pub async fn gone(&mut self) {
        self.server.gone().await;
    }

    /// Stops the server: fast, and at once after the deadline (which loses
    /// nothing, the next start recovers).
    ///
    /// # Errors
    /// [`PostgresError::NotStopped`] if it is still there after both.
    pub async fn stop(self) -> Result<(), PostgresError> {
        self.server.stop(self.stop_deadline).await
    }
}
