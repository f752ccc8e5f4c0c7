//! The event rows that a request left in Postgres.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, Row as _};

use super::variables::Variables;

/// Sent to whoever watches, never stored.
const BROADCAST_ONLY: [&str; 5] = [
    "TASK_UPDATED",
    "WORKSPACE_HEARTBEAT",
    "A2A_RESPONSE",
    "ACTIVITY_LOGGED",
    "AGENT_MESSAGE",
];

/// Reads the event log in pieces: each row once.
#[derive(Debug)]
pub struct StoredEvents {
    connection: PgConnection,
    seen: BTreeSet<String>,
}

impl StoredEvents {
    /// Connects; rows that exist already count as seen.
    ///
    /// # Errors
    /// [`sqlx::Error`].
    pub async fn connect(url: &str) -> Result<Self, sqlx::Error> {
        let mut events = Self {
            connection: PgConnection::connect(url).await?,
            seen: BTreeSet::new(),
        };
        events.take(&Variables::default()).await?;
        Ok(events)
    }

    /// The rows since the last call, normalised and sorted as the recording is.
    ///
    /// # Errors
    /// [`sqlx::Error`].
    pub async fn take(&mut self, variables: &Variables) -> Result<Vec<String>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT id::text, event_type, workspace_id::text, payload
             FROM structure_events WHERE created_at > now() - interval '1 minute'",
        )
        .fetch_all(&mut self.connection)
        .await?;
        let mut fresh = Vec::new();
        for row in rows {
            if self.seen.insert(row.try_get("id")?) {
                let event = json!({
                    "event": row.try_get::<String, _>("event_type")?,
                    "payload": row.try_get::<Value, _>("payload")?,
                    "workspace_id": row.try_get::<Option<String>, _>("workspace_id")?,
                });
                fresh.push(variables.normalise(&event.to_string()));
            }
        }
        fresh.sort();
        Ok(fresh)
    }
}

/// Those of the recorded events that leave a row.
#[must_use]
pub fn persisted(recorded: &[String]) -> Vec<String> {
    recorded
        .iter()
        .filter(|event| {
            !BROADCAST_ONLY
                .iter()
                .any(|name| event.contains(&format!(r#""event":"{name}""#)))
        })
        .cloned()
        .collect()
}
