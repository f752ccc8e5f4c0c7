//! Why a workspace is degraded: a set with at most one cause of each kind.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The kinds of cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseKind {
    /// The workspace says so itself.
    Wedged,
    /// Its own error rate is 0.5 or more.
    ErrorRate,
    /// Candor saw that it does not answer.
    Unresponsive,
    /// The row was degraded already, and nobody recorded why.
    Unknown,
}

impl CauseKind {
    /// The word shown to people and stored.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Wedged => "wedged",
            Self::ErrorRate => "error_rate",
            Self::Unresponsive => "unresponsive",
            Self::Unknown => "unknown",
        }
    }
    /// Reported by the workspace about itself; dropped by a new incarnation.
    #[must_use]
    pub const fn is_self_reported(self) -> bool {
        matches!(self, Self::Wedged | Self::ErrorRate)
    }
}

/// One cause with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// When it was first seen in this incarnation.
    pub since: DateTime<Utc>,
    /// What was said or seen, for instance the sample error.
    pub evidence: String,
}

/// The causes that stand.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Causes(BTreeMap<CauseKind, Cause>);

impl Causes {
    /// True if nothing speaks against the workspace.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// True if a cause of this kind stands.
    #[must_use]
    pub fn contains(&self, kind: CauseKind) -> bool {
        self.0.contains_key(&kind)
    }
    /// The cause of this kind, if it stands.
    #[must_use]
    pub fn get(&self, kind: CauseKind) -> Option<&Cause> {
        self.0.get(&kind)
    }
    /// Adds a cause, or renews its evidence; the first-seen time stays.
    pub fn insert(&mut self, kind: CauseKind, evidence: &str, now: DateTime<Utc>) {
        self.0
            .entry(kind)
            .and_modify(|cause| evidence.clone_into(&mut cause.evidence))
            .or_insert_with(|| Cause {
                since: now,
                evidence: evidence.to_owned(),
            });
    }
    /// Removes a cause; true if it stood.
    pub fn remove(&mut self, kind: CauseKind) -> bool {
        self.0.remove(&kind).is_some()
    }
    /// Drops what the workspace said about itself; true if anything stood.
    pub fn drop_self_reported(&mut self) -> bool {
        let before = self.0.len();
        self.0.retain(|kind, _| !kind.is_self_reported());
        self.0.len() != before
    }
    /// Kinds in a fixed order, with their causes.
    pub fn iter(&self) -> impl Iterator<Item = (CauseKind, &Cause)> {
        self.0.iter().map(|(kind, cause)| (*kind, cause))
    }
}
