//! The cluster on disk: created once, all or nothing.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rand::distr::{Alphanumeric, SampleString as _};
use tokio::process::Command;

use super::{Account, Binaries, PostgresError, PostgresSettings, ROLE};
use crate::data_dir::DataDir;

/// How much of the log an error quotes, in bytes.
const LOG_TAIL: u64 = 4096;
/// The log is moved aside at start once it is this long, in bytes.
const LOG_LIMIT: u64 = 16 * 1024 * 1024;

/// A cluster that exists, with what is needed to run it.
#[derive(Debug)]
pub(super) struct Cluster {
    /// `PGDATA`.
    pub directory: PathBuf,
    /// The log file, beside it.
    pub log: PathBuf,
    /// The password of the only role.
    pub password: String,
    /// The programs of the version that made it.
    pub binaries: Binaries,
}

impl Cluster {
    pub(super) async fn prepare(
        data_dir: &DataDir,
        account: &Account,
        settings: &PostgresSettings,
    ) -> Result<Self, PostgresError> {
        let directory = data_dir.path().join("postgres");
        let version = match fs::read_to_string(directory.join("PG_VERSION")) {
            Ok(text) => Some(text.trim().to_owned()),
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => None,
            Err(problem) => return Err(refused(&directory, problem)),
        };
        let binaries = Binaries::find(settings.bin_dir.as_deref(), version.as_deref())?;
        account.check_traversable(data_dir.path())?;
        let password = password(&data_dir.path().join("postgres.password"))?;
        let cluster = Self {
            directory,
            log: data_dir.path().join("postgres.log"),
            password,
            binaries,
        };
        if version.is_none() {
            cluster.create(account, settings).await?;
        }
        Ok(cluster)
    }

    /// Creates the cluster under another name and renames it when it is whole:
    /// a process killed in the middle leaves nothing that looks like a cluster.
    async fn create(
        &self,
        account: &Account,
        settings: &PostgresSettings,
    ) -> Result<(), PostgresError> {
        let unfinished = self.directory.with_extension("new");
        match fs::remove_dir_all(&unfinished) {
            Err(problem) if problem.kind() != io::ErrorKind::NotFound => {
                return Err(refused(&unfinished, problem));
            }
            _ => {}
        }
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&unfinished)
            .map_err(|problem| refused(&unfinished, problem))?;
        account.own(&unfinished)?;
        // initdb wants the password in a file that its own user can read.
        let password_file = self.directory.with_extension("initdb");
        write_secret(&password_file, &self.password)?;
        account.own(&password_file)?;
        let outcome = self
            .initdb(&unfinished, &password_file, account, settings)
            .await;
        fs::remove_file(&password_file).map_err(|problem| refused(&password_file, problem))?;
        outcome?;
        fs::rename(&unfinished, &self.directory)
            .map_err(|problem| refused(&self.directory, problem))?;
        tracing::info!(directory = %self.directory.display(), "created a private PostgreSQL cluster");
        Ok(())
    }

    async fn initdb(
        &self,
        directory: &Path,
        password_file: &Path,
        account: &Account,
        settings: &PostgresSettings,
    ) -> Result<(), PostgresError> {
        let mut command = Command::new(self.binaries.initdb());
        command
            .arg("--pgdata")
            .arg(directory)
            .arg("--pwfile")
            .arg(password_file)
            .args(["--username", ROLE, "--auth", "scram-sha-256"])
            .args(["--encoding", "UTF8", "--locale", "C", "--data-checksums"])
            .env_remove("PGDATA")
            .current_dir("/")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        account.run(&mut command);
        let output = tokio::time::timeout(settings.start_deadline, command.output())
            .await
            .map_err(|_| PostgresError::Initdb("it did not finish in time".into()))?
            .map_err(|problem| refused(&self.binaries.initdb(), problem))?;
        if output.status.success() {
            return Ok(());
        }
        Err(PostgresError::Initdb(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ))
    }

    /// The error that quotes the end of the log.
    pub(super) fn not_started(&self, problem: impl Into<String>) -> PostgresError {
        let log_tail = tail(&self.log).unwrap_or_else(|problem| format!("(unreadable: {problem})"));
        PostgresError::NotStarted {
            problem: problem.into(),
            log: self.log.clone(),
            log_tail,
        }
    }

    /// Opens the log for the server, and moves a long one aside.
    pub(super) fn open_log(&self) -> Result<fs::File, PostgresError> {
        if fs::metadata(&self.log).is_ok_and(|metadata| metadata.len() > LOG_LIMIT) {
            fs::rename(&self.log, self.log.with_extension("log.old"))
                .map_err(|problem| refused(&self.log, problem))?;
        }
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.log)
            .map_err(|problem| refused(&self.log, problem))
    }
}

/// The stored password, or a new one. It is written before the cluster is
/// created, so there is never a cluster without its password.
fn password(file: &Path) -> Result<String, PostgresError> {
    match fs::read_to_string(file) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => {}
        Err(problem) => return Err(refused(file, problem)),
    }
    let password = Alphanumeric.sample_string(&mut rand::rng(), 32);
    write_secret(file, &password)?;
    Ok(password)
}

fn write_secret(file: &Path, secret: &str) -> Result<(), PostgresError> {
    OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut handle| {
            writeln!(handle, "{secret}")?;
            handle.sync_all()
        })
        .map_err(|problem| refused(file, problem))
}

fn tail(log: &Path) -> io::Result<String> {
    let mut file = fs::File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

fn refused(path: &Path, problem: io::Error) -> PostgresError {
    PostgresError::Io {
        path: path.into(),
        problem,
    }
}
