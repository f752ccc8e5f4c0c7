//! Fan-out with bounded memory: slow watchers lag, they never hold others up.

use std::ops::Deref;
use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use candor_process::scales::{Scales, Weight};

use crate::Envelope;

/// Transient events a watcher may be behind before it misses some.
const BACKLOG: usize = 4096;
/// Heartbeats a watcher may be behind. They have a ring of their own: however
/// many there are, they push nothing else out.
const HEARTBEATS: usize = 1024;

/// Bytes of payload that slow watchers may keep, heartbeats not counted.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// An event in the ring, and what it takes there.
#[derive(Debug)]
pub struct Held {
    envelope: Envelope,
    _weight: Option<Weight>,
}

impl Deref for Held {
    type Target = Envelope;
    fn deref(&self) -> &Envelope {
        &self.envelope
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.envelope == other.envelope
    }
}

impl Eq for Held {}

/// What is in the ring.
#[derive(Debug, Clone)]
enum Item {
    Event(Arc<Held>),
    /// One that another process told is missing.
    Gap,
    /// One was too much to be kept.
    Overflow,
}

/// What a watcher is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Stored events up to this `seq` can be read.
    Stored(i64),
    /// An event that is not stored.
    Transient(Arc<Held>),
    /// So many events that are not stored were missed, heartbeats not counted:
    /// the next one says the same.
    Lagged(u64),
    /// Events that another process told are missing.
    Gap,
}

/// Announces events to the watchers of this process; cheap to clone.
#[derive(Debug, Clone)]
pub struct Bus {
    stored: watch::Sender<i64>,
    transient: broadcast::Sender<Item>,
    heartbeats: broadcast::Sender<Arc<Held>>,
    scales: Scales,
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
            heartbeats: broadcast::Sender::new(HEARTBEATS),
            scales: Scales::new(MOST_BYTES),
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
        if envelope.is_heartbeat() {
            let held = Held {
                envelope,
                _weight: None,
            };
            return self.heartbeats.send(Arc::new(held)).unwrap_or(0);
        }
        let item = match self.scales.weigh(envelope.payload.len()) {
            Some(weight) => Item::Event(Arc::new(Held {
                envelope,
                _weight: Some(weight),
            })),
            None => Item::Overflow,
        };
        self.transient.send(item).unwrap_or(0)
    }
    /// Tells watchers that events that another process told are missing.
    pub fn gap(&self) {
        // An error means that nobody watches.
        let _ = self.transient.send(Item::Gap);
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
            heartbeats: self.heartbeats.subscribe(),
        }
    }
}

/// One watcher's end.
#[derive(Debug)]
pub struct Subscription {
    stored: watch::Receiver<i64>,
    transient: broadcast::Receiver<Item>,
    heartbeats: broadcast::Receiver<Arc<Held>>,
}

impl Subscription {
    /// Waits for the next notice; none when the bus is gone.
    pub async fn next(&mut self) -> Option<Notice> {
        loop {
            // In this order: the events of one beat keep theirs.
            tokio::select! {
                biased;
                changed = self.stored.changed() => {
                    changed.ok()?;
                    return Some(Notice::Stored(*self.stored.borrow_and_update()));
                }
                received = self.transient.recv() => return match received {
                    Ok(Item::Event(held)) => Some(Notice::Transient(held)),
                    Ok(Item::Gap) => Some(Notice::Gap),
                    Ok(Item::Overflow) => Some(Notice::Lagged(1)),
                    Err(RecvError::Lagged(missed)) => Some(Notice::Lagged(missed)),
                    Err(RecvError::Closed) => None,
                },
                received = self.heartbeats.recv() => match received {
                    Ok(envelope) => return Some(Notice::Transient(envelope)),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                },
            }
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
            foreign: false,
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
    async fn what_slow_watchers_keep_is_bounded_by_bytes() {
        let bus = Bus::new();
        let mut watcher = bus.subscribe();
        let large = Envelope {
            payload: "x".repeat(MOST_BYTES / 4 + 1),
            ..envelope(0)
        };
        for _ in 0..4 {
            bus.publish_transient(large.clone());
        }
        for _ in 0..3 {
            assert!(matches!(watcher.next().await, Some(Notice::Transient(_))));
        }
        assert_eq!(watcher.next().await, Some(Notice::Lagged(1)));
        // What was read is off the scales.
        bus.publish_transient(large);
        assert!(matches!(watcher.next().await, Some(Notice::Transient(_))));
    }

    #[tokio::test]
    async fn a_gap_is_told_in_its_place() {
        let bus = Bus::new();
        let mut watcher = bus.subscribe();
        bus.publish_transient(envelope(0));
        bus.gap();
        bus.publish_transient(envelope(1));
        assert!(matches!(watcher.next().await, Some(Notice::Transient(_))));
        assert_eq!(watcher.next().await, Some(Notice::Gap));
        assert!(matches!(watcher.next().await, Some(Notice::Transient(_))));
    }

    #[tokio::test]
    async fn heartbeats_push_nothing_else_out() {
        let bus = Bus::new();
        let mut watcher = bus.subscribe();
        bus.publish_transient(envelope(0));
        for n in 0..HEARTBEATS + 10 {
            bus.publish_transient(Envelope {
                event: Envelope::HEARTBEAT.to_owned(),
                ..envelope(n)
            });
        }
        let (mut tasks, mut heartbeats) = (0, 0);
        while tasks + heartbeats < HEARTBEATS + 1 {
            match watcher.next().await {
                Some(Notice::Transient(next)) if next.is_heartbeat() => heartbeats += 1,
                Some(Notice::Transient(_)) => tasks += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(tasks, 1);
    }

    #[tokio::test]
    async fn it_ends_with_the_bus() {
        let bus = Bus::new();
        let mut watcher = bus.subscribe();
        drop(bus);
        assert_eq!(watcher.next().await, None);
    }
}
