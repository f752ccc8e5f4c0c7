//! What a move of a workspace's instances changes beside its status.

use candor_kernel::{Error, WorkspaceId};
use candor_process::pool::store_error;
use sqlx::PgConnection;

/// Changes beside the status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects {
    /// The instance's address goes with it.
    pub clear_url: bool,
    /// What people read as the last error.
    pub last_error: Option<String>,
}

/// What runs the workspace; the legacy default where nothing is stored.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn runtime(connection: &mut PgConnection, id: WorkspaceId) -> Result<String, Error> {
    let runtime = sqlx::query_scalar!(
        r#"SELECT coalesce(runtime, 'langgraph') AS "runtime!" FROM public.workspaces WHERE id = $1"#,
        id.as_uuid()
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)?;
    Ok(runtime.unwrap_or_default())
}

/// Writes them.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn apply(
    connection: &mut PgConnection,
    id: WorkspaceId,
    effects: &Effects,
) -> Result<(), Error> {
    if effects.clear_url {
        sqlx::query!(
            "UPDATE public.workspaces SET url = '' WHERE id = $1",
            id.as_uuid()
        )
        .execute(&mut *connection)
        .await
        .map_err(store_error)?;
    }
    if let Some(error) = &effects.last_error {
        sqlx::query!(
            "UPDATE registry.workspace_vitals SET last_sample_error = $2 WHERE id = $1",
            id.as_uuid(),
            error
        )
        .execute(connection)
        .await
        .map_err(store_error)?;
    }
    Ok(())
}
