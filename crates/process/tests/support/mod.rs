//! A private Postgres for one test, gone with it.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use candor_process::data_dir::DataDir;
use candor_process::pool::PoolSettings;
use candor_process::postgres::{PostgresSettings, PrivatePostgres};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::PgPool;
use tempfile::TempDir;

/// A data directory that any user can enter, because the server may not run as
/// the user of the test.
pub fn data_dir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

/// Kills a server when the test ends, however it ends.
pub struct KillOnDrop(pub i32);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        // The server may be gone already; nothing else can be done here.
        let _ = kill(Pid::from_raw(self.0), Signal::SIGQUIT);
    }
}

/// A fresh private Postgres.
pub struct Fixture {
    pub guard: KillOnDrop,
    pub postgres: PrivatePostgres,
    pub owned: DataDir,
    pub dir: TempDir,
}

impl Fixture {
    pub async fn start() -> Self {
        let dir = data_dir();
        let owned = DataDir::open(dir.path()).unwrap();
        let postgres = PrivatePostgres::start(&owned, &PostgresSettings::default())
            .await
            .unwrap();
        Self {
            guard: KillOnDrop(postgres.pid()),
            postgres,
            owned,
            dir,
        }
    }

    pub fn pool(&self) -> PgPool {
        PoolSettings::new("test").open(self.postgres.connect_options())
    }

    pub fn log(&self) -> PathBuf {
        self.dir.path().join("postgres.log")
    }
}
