//! Fan-out with bounded memory: slow watchers lag, they never hold others up.

use std::sync::Arc;

use tokio::sync::{broadcast, watch};

use crate::Envelope;

/// Transient events a watcher may be behind before it misses some.
const BACKLOG: usize = 1024;

/// What a watcher is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Stored events up to this `seq` can be read.
    Stored(i64),
    /// An event that is not stored.
    Transient(Arc<Envelope>),
    /// So many events that are not stored were missed.
    Lagged(u64),
}

/// Announces events to the watchers of this process; cheap to clone.
#[derive(Debug, Clone)]
pub struct Bus {
    stored: watch::Sender<i64>,
    transient: broadcast::Sender<Arc<Envelope>>,
}

impl Default for Bus {
    fn default() -> Self {
        Self::new()
    }
}

impl Bus {
    /// A bus without watchers.
    #[must_use]
    pub fn new() -> Self {
        Self {
            stored: watch::Sender::new(0),
            transient: broadcast::Sender::new(BACKLOG),
        }
    }
    /// Announces that stored events up to `seq` can be read; it never goes back.
    pub fn advance(&self, seq: i64) {
        self.stored.send_if_modified(|newest| {
            let newer = seq > *newest;
            if newer {
                *newest = seq;
            }
            newer
        });
    }
    /// Offers an event to whoever watches now; returns how many were offered it.
    pub fn publish_transient(&self, envelope: Envelope) -> usize {
        // An error means that nobody watches.
        self.transient.send(Arc::new(envelope)).unwrap_or(0)
    }
    /// True if anybody watches now.
    #[must_use]
    pub fn has_watchers(&self) -> bool {
        self.transient.receiver_count() > 0
    }
    /// Watches from now on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        Subscription {
            stored: self.stored.subscribe(),
            transient: self.transient.subscribe(),
        }
    }
}

/// One watcher's end.
#[derive(Debug)]
pub struct Subscription {
    stored: watch::Receiver<i64>,
    transient: broadcast::Receiver<Arc<Envelope>>,
}

impl Subscription {
    /// Waits for the next notice; none when the bus is gone.
    pub async fn next(&mut self) -> Option<Notice> {
        tokio::select! {
            changed = self.stored.changed() => {
                changed.ok()?;
                Some(Notice::Stored(*self.stored.borrow_and_update()))
            }
            received = self.transient.recv() => match received {
                Ok(envelope) => Some(Notice::Transient(envelope)),
                Err(broadcast::error::RecvError::Lagged(missed)) => Some(Notice::Lagged(missed)),
                Err(broadcast::error::RecvError::Closed) => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn envelope(n: usize) -> Envelope {
        Envelope {
            event: "TASK_UPDATED".to_owned(),
            workspace_id: n.to_string(),
            timestamp: chrono::Utc::now(),
            payload: "{}".to_owned(),
            seq: None,
        }
    }

    #[tokio::test]
    async fn the_newest_number_is_announced_and_never_goes_back() {
        let bus = Bus::new();
        let mut watcher = bus.subscribe();
        bus.advance(3);
        bus.advance(5);
        bus.advance(4);
        assert_eq!(watcher.next().await, Some(Notice::Stored(5)));
    }

    #[tokio::test]
    async fn a_watcher_that_lags_is_told_and_memory_stays_bounded() {
        let bus = Bus::new();
        let mut watcher = bus.subscribe();
        for n in 0..BACKLOG + 10 {
            assert_eq!(bus.publish_transient(envelope(n)), 1);
        }
        assert_eq!(watcher.next().await, Some(Notice::Lagged(10)));
        let Some(Notice::Transient(next)) = watcher.next().await else {
            panic!("no event")
        };
        assert_eq!(next.workspace_id, "10");
    }

    #[tokio::test]
    async fn it_ends_with_the_bus() {
        let bus = Bus::new();
        let mut watcher = bus.subscribe();
        drop(bus);
        assert_eq!(watcher.next().await, None);
    }
}
