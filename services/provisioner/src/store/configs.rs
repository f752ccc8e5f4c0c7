//! The configuration documents of workspaces.

use candor_kernel::{Error, WorkspaceId};
use candor_process::pool::store_error;
use sqlx::PgConnection;

/// The document, as JSON text.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn get(connection: &mut PgConnection, id: WorkspaceId) -> Result<Option<String>, Error> {
    sqlx::query_scalar!(
        r#"SELECT data::text AS "data!" FROM public.workspace_config WHERE workspace_id = $1"#,
        id.as_uuid()
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)
}

/// Merges JSON text into the document of a workspace that is held, member by member: how
/// many bytes it has now.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer; a field error for what no document
/// can hold.
pub async fn merge(
    connection: &mut PgConnection,
    id: WorkspaceId,
    data: &str,
) -> Result<i32, Error> {
    sqlx::query_scalar!(
        r#"INSERT INTO public.workspace_config AS c (workspace_id, data)
           VALUES ($1, ($2::text)::jsonb)
           ON CONFLICT (workspace_id) DO UPDATE
           SET data = c.data || excluded.data, updated_at = now()
           RETURNING octet_length(data::text) AS "bytes!""#,
        id.as_uuid(),
        data
    )
    .fetch_one(connection)
    .await
    .map_err(store_error)
}
