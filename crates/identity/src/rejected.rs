//! Beats that were refused for their credential, by the workspace they claimed.
//!
//! A client whose beats are refused seldom looks at the answer; its operator
//! must see it. The table is bounded: whoever claims ids at random cannot fill
//! the memory.

use std::collections::HashMap;
use std::sync::Arc;

use candor_kernel::WorkspaceId;
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

/// Workspaces that are remembered, at most.
const MOST: usize = 10_000;
/// How long a refusal is of interest.
const OF_INTEREST: TimeDelta = TimeDelta::hours(1);

/// The refused beats of one workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejection {
    /// How many.
    pub count: u64,
    /// When the last one came.
    pub last: DateTime<Utc>,
}

/// Counts refused beats; clones share the table.
#[derive(Debug, Clone, Default)]
pub struct RejectedBeats(Arc<Mutex<HashMap<WorkspaceId, Rejection>>>);

impl RejectedBeats {
    /// Counts one.
    pub fn record(&self, id: WorkspaceId, now: DateTime<Utc>) {
        self.add(
            id,
            Rejection {
                count: 1,
                last: now,
            },
        );
    }

    /// Adds what another process counted.
    pub fn add(&self, id: WorkspaceId, more: Rejection) {
        let mut table = self.0.lock();
        if table.len() >= MOST && !table.contains_key(&id) {
            // Any other one goes: whoever claims ids at random pushes out its own.
            let gone = table.keys().next().copied();
            gone.and_then(|id| table.remove(&id));
        }
        let known = table.entry(id).or_insert(Rejection {
            count: 0,
            last: more.last,
        });
        known.count = known.count.saturating_add(more.count);
        known.last = known.last.max(more.last);
    }

    /// What is known about a workspace, if it is of interest still.
    #[must_use]
    pub fn of(&self, id: WorkspaceId, now: DateTime<Utc>) -> Option<Rejection> {
        let found = self.0.lock().get(&id).copied();
        found.filter(|rejection| now - rejection.last < OF_INTEREST)
    }

    /// Takes everything out, to be reported elsewhere.
    #[must_use]
    pub fn take(&self) -> Vec<(WorkspaceId, Rejection)> {
        self.0.lock().drain().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> WorkspaceId {
        WorkspaceId::from_uuid(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn counts_and_forgets() {
        let rejected = RejectedBeats::default();
        let now = Utc::now();
        rejected.record(id(1), now - TimeDelta::minutes(1));
        rejected.record(id(1), now);
        let twice = Rejection {
            count: 2,
            last: now,
        };
        assert_eq!(rejected.of(id(1), now), Some(twice));
        assert_eq!(rejected.of(id(1), now + TimeDelta::hours(2)), None);
        assert_eq!(rejected.take(), [(id(1), twice)]);
        assert_eq!(rejected.of(id(1), now), None);
    }

    #[test]
    fn the_table_is_bounded_and_the_newest_is_in_it() {
        let rejected = RejectedBeats::default();
        let now = Utc::now();
        for number in 0..(MOST as u128 + 5) {
            rejected.record(id(number), now);
            assert!(rejected.of(id(number), now).is_some(), "{number}");
        }
        assert_eq!(rejected.0.lock().len(), MOST);
    }
}
