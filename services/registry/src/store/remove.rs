//! Removes workspaces, and forgets them when asked to.

use candor_kernel::{Error, WorkspaceId};
use candor_process::pool::store_error;
use sqlx::PgConnection;

/// Direct children that are not removed: id and name, oldest first.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn children(
    connection: &mut PgConnection,
    id: WorkspaceId,
) -> Result<Vec<(uuid::Uuid, String)>, Error> {
    let rows = sqlx::query!(
        r#"SELECT id, name FROM public.workspaces
           WHERE parent_id = $1 AND id <> $1 AND status IS DISTINCT FROM 'removed'
           ORDER BY created_at, id"#,
        id.as_uuid()
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)?;
    Ok(rows.into_iter().map(|row| (row.id, row.name)).collect())
}

/// Every descendant that is not removed; cycles of an older platform end the walk.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn descendants(
    connection: &mut PgConnection,
    id: WorkspaceId,
) -> Result<Vec<uuid::Uuid>, Error> {
    sqlx::query_scalar!(
        r#"WITH RECURSIVE down (id) AS (
               SELECT id FROM public.workspaces
               WHERE parent_id = $1 AND status IS DISTINCT FROM 'removed'
               UNION
               SELECT w.id FROM public.workspaces w JOIN down d ON w.parent_id = d.id
               WHERE w.status IS DISTINCT FROM 'removed')
           SELECT id AS "id!" FROM down WHERE id <> $1 ORDER BY id"#,
        id.as_uuid()
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// Ends what a removed workspace may no longer have: credentials, its place on
/// the canvas, its schedules.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn end_belongings(
    connection: &mut PgConnection,
    ids: &[uuid::Uuid],
) -> Result<(), Error> {
    sqlx::query!(
        r#"UPDATE public.workspace_auth_tokens SET revoked_at = now()
           WHERE workspace_id = ANY($1) AND revoked_at IS NULL"#,
        ids
    )
    .execute(&mut *connection)
    .await
    .map_err(store_error)?;
    sqlx::query!(
        "DELETE FROM public.canvas_layouts WHERE workspace_id = ANY($1)",
        ids
    )
    .execute(&mut *connection)
    .await
    .map_err(store_error)?;
    sqlx::query!(
        "UPDATE public.workspace_schedules SET enabled = false WHERE workspace_id = ANY($1)",
        ids
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// Deletes the rows of removed workspaces and leaves tombstones. Activity rows
/// are detached by emptying their bodies in the activity log, not here; events
/// stay.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn purge(connection: &mut PgConnection, ids: &[uuid::Uuid]) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO registry.tombstones (id) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING",
        ids
    )
    .execute(&mut *connection)
    .await
    .map_err(store_error)?;
    // Tables without ON DELETE CASCADE first, references next, then the rows.
    macro_rules! run {
        ($sql:literal) => {
            sqlx::query!($sql, ids)
                .execute(&mut *connection)
                .await
                .map_err(store_error)?
        };
    }
    run!("DELETE FROM public.agent_memories WHERE workspace_id = ANY($1)");
    run!("DELETE FROM public.workspace_secrets WHERE workspace_id = ANY($1)");
    run!("DELETE FROM public.approval_requests WHERE workspace_id = ANY($1)");
    run!("DELETE FROM public.agents WHERE workspace_id = ANY($1)");
    run!("DELETE FROM registry.decisions WHERE workspace_id = ANY($1)");
    run!("UPDATE public.workspaces SET parent_id = NULL WHERE parent_id = ANY($1)");
    run!("UPDATE public.workspaces SET forwarded_to = NULL WHERE forwarded_to = ANY($1)");
    run!("DELETE FROM public.workspaces WHERE id = ANY($1)");
    Ok(())
}
