//! Reads the hierarchy.

use candor_kernel::{Error, WorkspaceId};
use candor_process::pool::store_error;
use sqlx::PgConnection;

/// A workspace's ancestors, itself first; empty when it does not exist. A cycle
/// made by an older platform ends the walk.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn lineage(
    connection: &mut PgConnection,
    id: WorkspaceId,
) -> Result<Vec<WorkspaceId>, Error> {
    let rows = sqlx::query_scalar!(
        r#"WITH RECURSIVE up (id, parent_id, depth, path) AS (
               SELECT id, parent_id, 0, ARRAY[id] FROM public.workspaces WHERE id = $1
               UNION ALL
               SELECT w.id, w.parent_id, up.depth + 1, up.path || w.id
               FROM public.workspaces w JOIN up ON w.id = up.parent_id
               WHERE NOT w.id = ANY(up.path) AND up.depth < 1000)
           SELECT id AS "id!" FROM up ORDER BY depth"#,
        id.as_uuid()
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)?;
    Ok(rows.into_iter().map(WorkspaceId::from_uuid).collect())
}

/// A workspace as its peers see it.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct PeerRow {
    pub id: uuid::Uuid,
    pub name: String,
    pub role: Option<String>,
    pub tier: i32,
    pub status: String,
    pub agent_card: Option<String>,
    pub url: String,
    pub parent_id: Option<uuid::Uuid>,
    pub active_tasks: i32,
}

/// Siblings (all other roots, for a root), children and parent, in this order;
/// removed ones left out. None when the workspace does not exist.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn peers(
    connection: &mut PgConnection,
    id: WorkspaceId,
) -> Result<Option<Vec<PeerRow>>, Error> {
    let Some(parent) = sqlx::query_scalar!(
        "SELECT parent_id FROM public.workspaces WHERE id = $1",
        id.as_uuid()
    )
    .fetch_optional(&mut *connection)
    .await
    .map_err(store_error)?
    else {
        return Ok(None);
    };
    let rows = sqlx::query_as!(
        PeerRow,
        r#"SELECT w.id, w.name, nullif(w.role, '') AS role, coalesce(w.tier, 1) AS "tier!",
                  coalesce(w.status::text, 'provisioning') AS "status!",
                  w.agent_card::text AS agent_card, coalesce(w.url, '') AS "url!", w.parent_id,
                  v.active_tasks
           FROM public.workspaces w JOIN registry.workspace_vitals v ON v.id = w.id
           WHERE w.id <> $1 AND w.status IS DISTINCT FROM 'removed'
             AND (w.parent_id IS NOT DISTINCT FROM $2 OR w.parent_id = $1 OR w.id = $2)
           ORDER BY CASE WHEN w.id = $2 THEN 2 WHEN w.parent_id = $1 THEN 1 ELSE 0 END,
                    w.created_at, w.id"#,
        id.as_uuid(),
        parent
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)?;
    Ok(Some(rows))
}
