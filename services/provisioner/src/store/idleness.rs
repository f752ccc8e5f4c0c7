//! Since when workspaces have had nothing to do, as far as it was seen.

use candor_kernel::Error;
use candor_process::pool::store_error;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// How long a workspace has been idle, and how long it may be.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Idle {
    pub since: DateTime<Utc>,
    /// Postgres' clock.
    pub now: DateTime<Utc>,
    /// Seconds after which its owner wants it stopped.
    pub hibernate_after: Option<i64>,
}

/// Notes what was seen of it; anything new means that it worked until now.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn note(connection: &mut PgConnection, id: Uuid, seen: &str) -> Result<Idle, Error> {
    sqlx::query_as!(
        Idle,
        r#"WITH noted AS (
               INSERT INTO provisioner.idleness AS i (workspace_id, seen) VALUES ($1, $2)
               ON CONFLICT (workspace_id) DO UPDATE
               SET seen = excluded.seen,
                   since = CASE WHEN i.seen = excluded.seen THEN i.since
                                ELSE clock_timestamp() END
               RETURNING since)
           SELECT since AS "since!", clock_timestamp() AS "now!",
                  (SELECT hibernate_after_seconds FROM provisioner.policies
                   WHERE workspace_id = $1) AS hibernate_after
           FROM noted"#,
        id,
        seen
    )
    .fetch_one(connection)
    .await
    .map_err(store_error)
}

/// It works, or cannot be called idle.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn forget(connection: &mut PgConnection, id: Uuid) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM provisioner.idleness WHERE workspace_id = $1",
        id
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}
