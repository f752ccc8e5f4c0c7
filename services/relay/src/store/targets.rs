//! What the relay knows of workspaces.

use candor_kernel::{Error, WorkspaceId};
use candor_process::pool::store_error;
use sqlx::PgConnection;

/// Whether a workspace's answers count for its health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Observed {
    pub enabled: bool,
    pub canary: bool,
}

/// As it was set; by default answers count, and there is no canary.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn observed(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
) -> Result<Observed, Error> {
    let row = sqlx::query_as!(
        Observed,
        "SELECT observed AS enabled, canary FROM relay.targets WHERE workspace_id = $1",
        workspace.as_uuid()
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)?;
    Ok(row.unwrap_or(Observed {
        enabled: true,
        canary: false,
    }))
}

/// Sets what is given.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn set(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    enabled: Option<bool>,
    canary: Option<bool>,
) -> Result<Observed, Error> {
    sqlx::query_as!(
        Observed,
        r#"INSERT INTO relay.targets AS t (workspace_id, observed, canary)
           VALUES ($1, coalesce($2, true), coalesce($3, false))
           ON CONFLICT (workspace_id) DO UPDATE SET
               observed = coalesce($2, t.observed), canary = coalesce($3, t.canary)
           RETURNING observed AS enabled, canary"#,
        workspace.as_uuid(),
        enabled,
        canary
    )
    .fetch_one(connection)
    .await
    .map_err(store_error)
}

/// Takes the lock of a workspace's messages until the transaction ends; false if
/// another relay has it.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn try_lock(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
) -> Result<bool, Error> {
    sqlx::query!(
        "INSERT INTO relay.targets (workspace_id) VALUES ($1) ON CONFLICT DO NOTHING",
        workspace.as_uuid()
    )
    .execute(&mut *connection)
    .await
    .map_err(store_error)?;
    let locked = sqlx::query_scalar!(
        r#"SELECT true AS "locked!" FROM relay.targets
           WHERE workspace_id = $1 FOR UPDATE SKIP LOCKED"#,
        workspace.as_uuid()
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)?;
    Ok(locked.is_some())
}
