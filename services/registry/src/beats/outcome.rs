//! What a beat is answered.

use candor_kernel::Epoch;

/// How a beat was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeatOutcome {
    /// Committed.
    Applied {
        /// The current instance's number.
        epoch: Epoch,
    },
    /// The caller's instance was replaced: answered, without effect.
    Superseded {
        /// The current instance's number.
        epoch: Epoch,
    },
    /// No workspace has this id: answered, without effect.
    Unknown,
    /// The workspace was removed: answered, without effect.
    Removed,
}
