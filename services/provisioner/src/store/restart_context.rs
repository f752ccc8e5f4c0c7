//! Which instances were told about their restart.

use candor_kernel::{Error, WorkspaceId};
use candor_process::pool::store_error;
use sqlx::PgConnection;

/// True once for each epoch of a workspace, while it is the one that is wanted.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn claim(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    epoch: i64,
) -> Result<bool, Error> {
    let claimed = sqlx::query!(
        r#"UPDATE provisioner.instances SET told_epoch = $2
           WHERE workspace_id = $1 AND epoch = $2 AND told_epoch < $2"#,
        workspace.as_uuid(),
        epoch
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(claimed.rows_affected() == 1)
}
