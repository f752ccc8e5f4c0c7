//! What the handlers share.

use std::sync::Arc;

use candor_events::Bus;
use candor_identity::{RejectedBeats, Verifier, Watermark};
use candor_kernel::Error;
use moka::sync::Cache;
use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::beats::{BeatService, TasksElsewhere};
use crate::config::RegistryConfig;
use crate::store::Store;
use crate::ticks::Ticks;

/// The application: rules come from the kernel, rows from the store.
pub struct App {
    /// Rows.
    pub store: Store,
    /// Connections that plan the one statement before each message once.
    pub(crate) for_targets: Store,
    /// The way into group commit.
    pub beats: BeatService,
    /// Tasks that other registries told of.
    pub(crate) tasks_elsewhere: TasksElsewhere,
    /// Settings.
    pub config: RegistryConfig,
    /// Who watches events in this process.
    pub bus: Bus,
    /// Checks assertions of Candor's other processes; none in one process.
    pub verifier: Option<Arc<Verifier>>,
    /// Wakes the sequencer after a commit that wrote events.
    pub events_written: Arc<Notify>,
    /// Moved after a commit that changed credentials.
    pub watermark: Watermark,
    /// Beats that were refused for their credential.
    pub rejected: RejectedBeats,
    /// Ids of events that were published lately: who tells one again, because the
    /// answer was lost, tells nothing new.
    pub told: Cache<String, ()>,
    /// When background work last ran.
    pub ticks: Ticks,
    /// The order to stop: streams end.
    pub stop: CancellationToken,
}

impl App {
    /// A connection for what the relay asks before each message.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE` when none is to be had in time.
    pub async fn for_targets(&self) -> Result<PoolConnection<Postgres>, Error> {
        self.for_targets
            .pool()
            .acquire()
            .await
            .map_err(candor_process::pool::store_error)
    }

    /// A connection for reads.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE` when none is to be had in time.
    pub async fn connection(&self) -> Result<PoolConnection<Postgres>, Error> {
        self.store
            .pool()
            .acquire()
            .await
            .map_err(candor_process::pool::store_error)
    }
}
