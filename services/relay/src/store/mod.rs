//! The relay's SQL, and nothing but SQL.
//!
//! What must survive, and why: intents (every dial is preceded by one), accepted
//! messages (they were promised), delegations, and what other services must still
//! be told about them. Health counts are not durable: they begin anew.

pub mod delegations;
pub mod entries;
pub mod intents;
pub mod leases;
pub mod outbox;
pub mod targets;
pub mod usage;

use candor_kernel::Error;
use candor_process::pool::store_error;
use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres, Transaction};

/// Access to the relay's tables.
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

    /// A connection for reads and single statements.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE` when none is to be had in time.
    pub async fn connection(&self) -> Result<PoolConnection<Postgres>, Error> {
        self.pool.acquire().await.map_err(store_error)
    }

    /// A transaction.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE` when none is to be had in time.
    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>, Error> {
        self.pool.begin().await.map_err(store_error)
    }
}

/// Longest work on Postgres that nobody else bounds.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(4);

/// Bounds work on Postgres.
///
/// # Errors
/// `STORE_UNAVAILABLE` when it takes too long; the work's own.
pub async fn within<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(DEADLINE, work)
        .await
        .unwrap_or_else(|_| Err(Error::store_unavailable("no answer within the deadline")))
}

/// Ends a transaction.
///
/// # Errors
/// `STORE_UNAVAILABLE`; then it is not known whether it went through.
pub async fn commit(tx: Transaction<'static, Postgres>) -> Result<(), Error> {
    tx.commit().await.map_err(store_error)
}
