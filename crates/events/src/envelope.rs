//! The envelope in which an event travels to watchers.

use chrono::{DateTime, Utc};

/// An event on its way to a watcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// For instance `WORKSPACE_HEARTBEAT`.
    pub event: String,
    /// Whom it is about.
    pub workspace_id: String,
    /// When it happened.
    pub timestamp: DateTime<Utc>,
    /// JSON text.
    pub payload: String,
    /// Its number, if it is stored.
    pub seq: Option<i64>,
    /// Another process told it first; it is not handed on.
    pub foreign: bool,
}

impl Envelope {
    /// Says that a workspace beat; the one event that may be dropped, since the
    /// next one says the same (design: section 12).
    pub const HEARTBEAT: &'static str = "WORKSPACE_HEARTBEAT";

    /// True for the event that may be dropped.
    #[must_use]
    pub fn is_heartbeat(&self) -> bool {
        self.event == Self::HEARTBEAT
    }
}
