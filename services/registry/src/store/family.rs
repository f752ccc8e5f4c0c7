//! Those above and below a workspace; a cycle of an older platform ends a walk.

use candor_kernel::{Error, WorkspaceId};
use candor_process::pool::store_error;
use sqlx::PgConnection;

/// A workspace as one of its family.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Relative {
    pub id: uuid::Uuid,
    pub name: String,
    pub status: String,
    pub parent_id: Option<uuid::Uuid>,
    pub external: bool,
}

/// The workspace itself, then its ancestors, nearest first.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn above(connection: &mut PgConnection, id: WorkspaceId) -> Result<Vec<Relative>, Error> {
    sqlx::query_as!(
        Relative,
        r#"WITH RECURSIVE up (id, parent_id, depth, path) AS (
               SELECT id, parent_id, 0, ARRAY[id] FROM public.workspaces WHERE id = $1
               UNION ALL
               SELECT w.id, w.parent_id, up.depth + 1, up.path || w.id
               FROM public.workspaces w JOIN up ON w.id = up.parent_id
               WHERE NOT w.id = ANY(up.path) AND up.depth < 1000)
           SELECT w.id AS "id!", w.name AS "name!",
                  coalesce(w.status::text, 'provisioning') AS "status!", w.parent_id,
                  (w.runtime = 'external') IS TRUE AS "external!"
           FROM up JOIN public.workspaces w ON w.id = up.id ORDER BY up.depth"#,
        id.as_uuid()
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// Its descendants, nearest first; removed ones end a branch.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn below(connection: &mut PgConnection, id: WorkspaceId) -> Result<Vec<Relative>, Error> {
    sqlx::query_as!(
        Relative,
        r#"WITH RECURSIVE down (id, depth, path) AS (
               SELECT id, 0, ARRAY[id] FROM public.workspaces WHERE id = $1
               UNION ALL
               SELECT w.id, down.depth + 1, down.path || w.id
               FROM public.workspaces w JOIN down ON w.parent_id = down.id
               WHERE NOT w.id = ANY(down.path) AND w.status IS DISTINCT FROM 'removed'
                 AND down.depth < 1000)
           SELECT w.id AS "id!", w.name AS "name!",
                  coalesce(w.status::text, 'provisioning') AS "status!", w.parent_id,
                  (w.runtime = 'external') IS TRUE AS "external!"
           FROM down JOIN public.workspaces w ON w.id = down.id
           WHERE w.id <> $1 ORDER BY down.depth, w.created_at, w.id"#,
        id.as_uuid()
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}
