//! Instances of workspaces that were removed.

use candor_kernel::Error;
use candor_process::pool::store_error;
use sqlx::PgConnection;

/// Those of these workspaces of whose instance something is still known.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn of(
    connection: &mut PgConnection,
    ids: &[uuid::Uuid],
) -> Result<Vec<uuid::Uuid>, Error> {
    sqlx::query_scalar!(
        "SELECT workspace_id FROM provisioner.instances WHERE workspace_id = ANY($1)",
        ids
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}
