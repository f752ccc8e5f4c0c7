//! Reads back what the platform wrote.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::{Connection as _, PgConnection, Row as _};

/// A workspace's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceRow {
    /// Its status.
    pub status: String,
    /// Which operation wrote last.
    pub sample_error: String,
}

/// An event's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Its id.
    pub id: String,
    /// Its place in the log; `None` until it was drawn.
    pub seq: Option<i64>,
    /// Which workspace it is about.
    pub workspace: String,
    /// Its type.
    pub event_type: String,
    /// Its payload.
    pub payload: Value,
}

/// Everything a check needs, read once.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// By id.
    pub workspaces: BTreeMap<String, WorkspaceRow>,
    /// By `seq`; those without one last.
    pub events: Vec<EventRow>,
}

/// Reads all rows in one snapshot.
///
/// # Errors
/// [`sqlx::Error`].
pub async fn observe(url: &str) -> Result<Observed, sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    let mut snapshot = connection
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ")
        .await?;
    let rows = sqlx::query(
        "SELECT w.id::text, w.status::text, coalesce(v.last_sample_error, '') AS sample_error
         FROM workspaces w JOIN registry.workspace_vitals v ON v.id = w.id",
    )
    .fetch_all(&mut *snapshot)
    .await?;
    let mut observed = Observed::default();
    for row in rows {
        let workspace = WorkspaceRow {
            status: row.try_get("status")?,
            sample_error: row.try_get("sample_error")?,
        };
        observed.workspaces.insert(row.try_get("id")?, workspace);
    }
    let rows = sqlx::query(
        "SELECT id::text, seq, coalesce(workspace_id::text, '') AS workspace, event_type, payload
         FROM structure_events ORDER BY seq NULLS LAST",
    )
    .fetch_all(&mut *snapshot)
    .await?;
    for row in rows {
        observed.events.push(EventRow {
            id: row.try_get("id")?,
            seq: row.try_get("seq")?,
            workspace: row.try_get("workspace")?,
            event_type: row.try_get("event_type")?,
            payload: row.try_get("payload")?,
        });
    }
    snapshot.rollback().await?;
    Ok(observed)
}
