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
}
