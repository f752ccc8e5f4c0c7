//! What was acknowledged, against what is there afterwards.
//!
//! A test writes down every operation it sends with its outcome. After a crash
//! it reads the rows and events back, and [`check`] names every promise that
//! was broken: P1 (removed stays removed), P2 (statuses follow the table), P6
//! (a wedged beat is seen at once) and P10 (nothing acknowledged is lost).
//!
//! Each operation leaves a mark of its own (its sample error), so that a row
//! tells which operation wrote it, and an event which one caused it.

mod check;
mod observed;

use std::collections::BTreeMap;

pub use check::{Violation, check};
pub use observed::{EventRow, Observed, WorkspaceRow, observe};

/// What an operation does to the status, if it takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// A healthy full beat: online.
    Healthy,
    /// A wedged beat: degraded.
    Wedged,
    /// A removal.
    Removed,
}

/// What the platform said to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect, durably.
    Acknowledged,
    /// It had no effect.
    Refused,
    /// No answer, or 503: it may or may not have taken effect.
    Unknown,
}

/// One operation on one workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Unique in the whole history.
    pub mark: String,
    /// What it does.
    pub effect: Effect,
    /// What was answered.
    pub outcome: Outcome,
}

/// All operations by workspace, in the order they were sent. A workspace's
/// operations never overlap: the next is sent when the last was answered.
#[derive(Debug, Clone, Default)]
pub struct History(BTreeMap<String, Vec<Operation>>);

/// When an operation without an answer may still take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LateEffects {
    /// Its process died: not after a later operation was acknowledged.
    Impossible,
    /// Another process went on meanwhile: at any time.
    Possible,
}

impl History {
    /// Writes an operation down.
    pub fn push(&mut self, workspace: &str, operation: Operation) {
        let known = self.0.entry(workspace.to_owned()).or_default();
        known.push(operation);
    }

    /// Adds what another client wrote down about other workspaces.
    pub fn merge(&mut self, other: Self) {
        for (workspace, operations) in other.0 {
            self.0.entry(workspace).or_default().extend(operations);
        }
    }

    /// The operations by workspace.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Operation])> {
        self.0
            .iter()
            .map(|(workspace, operations)| (workspace.as_str(), operations.as_slice()))
    }

    /// How many operations had this outcome.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        let all = self.0.values().flatten();
        all.filter(|operation| operation.outcome == outcome).count()
    }
}
