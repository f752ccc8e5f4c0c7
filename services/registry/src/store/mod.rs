//! The registry's SQL, and nothing but SQL.
//!
//! What must survive, and why: workspaces with status, causes, epochs and both
//! versions (the truth), vitals and leases (liveness is judged by Postgres'
//! clock, so a restart neither loses nor extends it), tokens (hashes only),
//! events and decisions (written with the change they tell of). Nothing else is
//! durable: caches and subscriptions are rebuilt.

pub mod beats;
pub mod blueprint;
pub mod canvas;
pub mod create;
pub mod decisions;
pub mod discovery;
pub mod events;
pub mod family;
pub mod instance_tokens;
pub mod lifecycle;
pub mod placements;
pub mod remove;
pub mod retention;
pub mod state;
pub mod sweep;
pub mod target;
pub mod tokens;
pub mod transients;
pub mod update;
pub mod workspaces;

use candor_kernel::Error;
use sqlx::{PgPool, Postgres, Transaction};

/// A transaction of this store.
pub type Tx = Transaction<'static, Postgres>;

/// Access to the registry's tables.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
}

impl Store {
    /// Wraps a pool whose connections may use the registry's tables.
    #[must_use]
    pub const fn new(pool: PgPool) -> Self {
        Self { pool }
    }
    /// The pool, for listeners and readiness checks.
    #[must_use]
    pub const fn pool(&self) -> &PgPool {
        &self.pool
    }
    /// Begins a transaction.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE` when Postgres does not answer.
    pub async fn begin(&self) -> Result<Tx, Error> {
        self.pool
            .begin()
            .await
            .map_err(candor_process::pool::store_error)
    }
    /// Commits; the change is durable when this returns.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE` when Postgres does not answer; then the outcome is
    /// unknown, and callers must be able to repeat.
    pub async fn commit(tx: Tx) -> Result<(), Error> {
        tx.commit().await.map_err(candor_process::pool::store_error)
    }
}
