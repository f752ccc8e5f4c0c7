//! What the relay's handlers and tasks share.

use std::sync::Arc;

use candor_egress::Egress;
use candor_process::scales::Scales;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::config::RelayConfig;
use crate::follow::Progressing;
use crate::forward::{Forwarder, Services};
use crate::health::Health;
use crate::journal::Journal;
use crate::ledger::Waker;
use crate::outbox::Bell;
use crate::resolver::Resolver;
use crate::store::Store;
use crate::wakes::Wakes;

/// Bytes of answers that are read at a time.
pub(crate) const MOST_ANSWERS: usize = 512 * 1024 * 1024;
/// Calls of one relay at a time.
pub(crate) const MOST_CALLS: usize = 4096;
/// Calls to one workspace at a time: a slow one leaves room for the others.
pub(crate) const MOST_TO_ONE: usize = 1024;

pub(crate) struct App {
    /// This process, as the owner of leases.
    pub me: Uuid,
    pub config: RelayConfig,
    pub store: Store,
    pub services: Services,
    pub resolver: Resolver,
    pub egress: Egress,
    /// What the answers that are read now take.
    pub answers: Scales,
    pub journal: Journal,
    pub forwarder: Forwarder,
    pub health: Health,
    pub progressing: Progressing,
    pub waker: Waker,
    /// Wakes hibernated workspaces.
    pub wakes: Wakes,
    /// Rings for the outbox.
    pub bell: Bell,
    /// Room for calls.
    pub places: Arc<Semaphore>,
    /// Calls, and messages of the ledger on their way.
    pub tasks: TaskTracker,
    /// The order to stop: streams end.
    pub stop: CancellationToken,
}
