//! The provisioner's SQL, and nothing but SQL.
//!
//! What must survive, and why: how far an instance is (a token that was handed over is
//! not handed over twice), what was tried and when (the budget), secrets and files.

pub mod configs;
pub mod explain;
pub mod files;
pub mod idleness;
mod installation;
pub mod instances;
pub mod policies;
pub mod progress;
pub mod removal;
pub mod restart_context;
pub mod restarts;
pub mod rotation;
pub mod secrets;
pub mod steps;

use candor_kernel::Error;
use candor_process::pool::store_error;
use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};

/// A transaction of this store.
pub type Tx = sqlx::Transaction<'static, Postgres>;

/// Access to the provisioner's tables.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
}

impl Store {
    /// Wraps a pool whose connections may use the tables.
    #[must_use]
    pub const fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// A connection.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE` when none is to be had in time.
    pub async fn connection(&self) -> Result<PoolConnection<Postgres>, Error> {
        self.pool.acquire().await.map_err(store_error)
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE` when Postgres does not answer.
    pub async fn begin(&self) -> Result<Tx, Error> {
        self.pool.begin().await.map_err(store_error)
    }

    /// Commits.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE` when Postgres does not answer; whether it was done is not known
    /// then.
    pub async fn commit(tx: Tx) -> Result<(), Error> {
        tx.commit().await.map_err(store_error)
    }
}
