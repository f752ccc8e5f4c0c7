//! What the handlers share.

use std::sync::Arc;

use candor_events::Bus;
use candor_kernel::Error;
use sqlx::pool::PoolConnection;
use sqlx::Postgres;
use tokio::sync::Notify;

use crate::beats::BeatService;
use crate::config::RegistryConfig;
use crate::store::Store;

/// The application: rules come from the kernel, rows from the store.
pub struct App {
    /// Rows.
    pub store: Store,
    /// The way into group commit.
    pub beats: BeatService,
    /// Settings.
    pub config: RegistryConfig,
    /// Who watches events in this process.
    pub bus: Bus,
    /// Wakes the sequencer after a commit that wrote events.
    pub events_written: Arc<Notify>,
}

impl App {
    /// A connection for reads.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE` when none is to be had in time.
    pub async fn connection(&self) -> Result<PoolConnection<Postgres>, Error> {
        self.store.pool().acquire().await.map_err(candor_process::pool::store_error)
    }
}
