//! What the owner of a workspace allows the platform to do by itself.

use std::time::Duration;

use candor_kernel::{Error, WorkspaceId};
use candor_process::pool::store_error;
use sqlx::PgConnection;

/// A workspace's policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policy {
    /// It is restarted when it says that it is wedged.
    pub restart_on_wedge: bool,
    /// It is stopped when it has had nothing to do for so long, in whole seconds.
    pub hibernate_after: Option<Duration>,
}

/// A change of one; what is absent stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// See [`Policy::restart_on_wedge`].
    pub restart_on_wedge: Option<bool>,
    /// See [`Policy::hibernate_after`]; `Some(None)` ends it.
    pub hibernate_after: Option<Option<Duration>>,
}

/// The policy of a workspace: nothing by itself, where nobody said anything.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn get(connection: &mut PgConnection, id: WorkspaceId) -> Result<Policy, Error> {
    let row = sqlx::query!(
        "SELECT restart_on_wedge, hibernate_after_seconds FROM provisioner.policies
         WHERE workspace_id = $1",
        id.as_uuid()
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)?;
    Ok(row.map_or_else(Policy::default, |row| Policy {
        restart_on_wedge: row.restart_on_wedge,
        hibernate_after: row.hibernate_after_seconds.and_then(seconds),
    }))
}

/// Changes it, and gives what it is then.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn change(
    connection: &mut PgConnection,
    id: WorkspaceId,
    change: Change,
) -> Result<Policy, Error> {
    let hibernate_after = change.hibernate_after.flatten();
    let hibernate_after = hibernate_after.map(|time| i64::try_from(time.as_secs()));
    let hibernate_after = hibernate_after.transpose().map_err(Error::internal)?;
    let row = sqlx::query!(
        "INSERT INTO provisioner.policies AS now
             (workspace_id, restart_on_wedge, hibernate_after_seconds)
         VALUES ($1, coalesce($2, false), $4)
         ON CONFLICT (workspace_id) DO UPDATE
         SET restart_on_wedge = coalesce($2, now.restart_on_wedge),
             hibernate_after_seconds =
                 CASE WHEN $3 THEN $4 ELSE now.hibernate_after_seconds END
         RETURNING restart_on_wedge, hibernate_after_seconds",
        id.as_uuid(),
        change.restart_on_wedge,
        change.hibernate_after.is_some(),
        hibernate_after
    )
    .fetch_one(connection)
    .await
    .map_err(store_error)?;
    Ok(Policy {
        restart_on_wedge: row.restart_on_wedge,
        hibernate_after: row.hibernate_after_seconds.and_then(seconds),
    })
}

fn seconds(number: i64) -> Option<Duration> {
    u64::try_from(number).ok().map(Duration::from_secs)
}
