//! What ends the pause of a message at once: its agent has room, or answered.

use std::collections::HashSet;
use std::sync::Arc;

use candor_kernel::WorkspaceId;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Workspaces that are remembered until the worker looks; more are left to their
/// pauses.
const MOST: usize = 10_000;

/// Tells the worker; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Waker(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Workspaces for which something waits, as the worker last saw it.
    waiting: Mutex<HashSet<WorkspaceId>>,
    /// Whose messages are due now.
    ready: Mutex<HashSet<WorkspaceId>>,
    bell: Notify,
}

impl Waker {
    /// These workspaces may take a message now.
    pub fn wake(&self, ids: HashSet<WorkspaceId>) {
        let known: Vec<WorkspaceId> = {
            let waiting = self.0.waiting.lock();
            ids.into_iter().filter(|id| waiting.contains(id)).collect()
        };
        if known.is_empty() {
            return;
        }
        let mut ready = self.0.ready.lock();
        for id in known {
            if ready.len() < MOST {
                ready.insert(id);
            }
        }
        drop(ready);
        self.0.bell.notify_one();
    }

    /// This workspace answered a call.
    pub fn answered(&self, id: WorkspaceId) {
        self.wake(HashSet::from([id]));
    }

    /// Something was accepted: the worker looks.
    pub fn accepted(&self, id: WorkspaceId) {
        self.0.waiting.lock().insert(id);
        self.answered(id);
    }

    pub(super) fn set_waiting(&self, ids: HashSet<WorkspaceId>) {
        *self.0.waiting.lock() = ids;
    }

    pub(super) fn take_ready(&self) -> Vec<WorkspaceId> {
        self.0.ready.lock().drain().collect()
    }

    pub(super) async fn rung(&self) {
        self.0.bell.notified().await;
    }

    pub(super) fn ring(&self) {
        self.0.bell.notify_one();
    }
}
