//! Changes fields of a workspace: all of them, or none.

use candor_kernel::{Error, Reason, WorkspaceId};
use candor_process::pool::store_error;
use sqlx::PgConnection;

/// New values; none leaves a field, `Some(None)` clears it.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Changes<'a> {
    pub name: Option<&'a str>,
    pub role: Option<Option<&'a str>>,
    pub tier: Option<i32>,
    pub parent_id: Option<Option<WorkspaceId>>,
    pub runtime: Option<&'a str>,
    pub workspace_dir: Option<Option<&'a str>>,
}

/// Writes the changes; false when there is no such workspace or it is removed.
///
/// # Errors
/// `PARENT_NOT_FOUND` for an unknown parent, `STORE_UNAVAILABLE` when Postgres
/// does not answer.
pub async fn apply(
    connection: &mut PgConnection,
    id: WorkspaceId,
    changes: &Changes<'_>,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        r#"UPDATE public.workspaces SET
               name = coalesce($2, name),
               role = CASE WHEN $3 THEN $4 ELSE role END,
               tier = coalesce($5, tier),
               parent_id = CASE WHEN $6 THEN $7 ELSE parent_id END,
               runtime = coalesce($8, runtime),
               workspace_dir = CASE WHEN $9 THEN $10 ELSE workspace_dir END,
               updated_at = now()
           WHERE id = $1 AND status IS DISTINCT FROM 'removed'"#,
        id.as_uuid(),
        changes.name,
        changes.role.is_some(),
        changes.role.flatten(),
        changes.tier,
        changes.parent_id.is_some(),
        changes.parent_id.flatten().map(|id| id.as_uuid()),
        changes.runtime,
        changes.workspace_dir.is_some(),
        changes.workspace_dir.flatten()
    )
    .execute(connection)
    .await
    .map_err(|error| match error.as_database_error() {
        Some(database) if database.is_foreign_key_violation() => {
            Error::new(Reason::ParentNotFound, "parent_id: no such workspace")
        }
        _ => store_error(error),
    })?;
    Ok(done.rows_affected() == 1)
}

/// Serialises changes of the hierarchy, so that two that are fine alone cannot
/// make a cycle together. Held until the transaction ends.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn lock_hierarchy(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('candor.hierarchy', 0))")
        .fetch_one(connection)
        .await
        .map_err(store_error)?;
    Ok(())
}
