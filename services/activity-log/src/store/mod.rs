//! The activity log's SQL, and nothing but SQL.
//!
//! What must survive, and why: rows with their source (who said what), the last
//! place in the log (cursors depend on it), late outcomes. Nothing else is
//! durable: queues are refilled by whoever was not answered.

pub mod read;
pub mod search;
pub mod upkeep;
pub mod write;

use candor_kernel::Error;
use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};

/// Access to the activity log's tables.
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

    /// A connection for reads and upkeep.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE` when none is to be had in time.
    pub async fn connection(&self) -> Result<PoolConnection<Postgres>, Error> {
        self.pool
            .acquire()
            .await
            .map_err(candor_process::pool::store_error)
    }
}
