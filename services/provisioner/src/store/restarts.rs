//! Restarts that a change asks for; whoever drives the instances does them, within the
//! budget.

use std::time::Duration;

use candor_kernel::Error;
use candor_process::pool::store_error;
use sqlx::PgConnection;

/// Changes that come one after the other are one restart.
const GATHER: Duration = Duration::from_secs(2);

/// Asks for a restart of those of the workspaces that run: how many they are.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn ask(
    connection: &mut PgConnection,
    ids: &[uuid::Uuid],
    reason: &str,
) -> Result<u64, Error> {
    let done = sqlx::query!(
        r#"UPDATE provisioner.instances
           SET restart_reason = $2, settled = false, next_at = now() + make_interval(secs => $3)
           WHERE workspace_id = ANY($1) AND want = 'running'"#,
        ids,
        reason,
        GATHER.as_secs_f64()
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(done.rows_affected())
}

/// Asks for a restart of every workspace that runs with the global secret `key`: how many
/// they are.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn ask_users_of(
    connection: &mut PgConnection,
    key: &str,
    reason: &str,
) -> Result<u64, Error> {
    // In one order, as everybody who locks several of them.
    let done = sqlx::query!(
        r#"WITH users AS (
               SELECT i.workspace_id FROM provisioner.instances i
               WHERE i.want = 'running' AND NOT EXISTS (
                   SELECT FROM public.workspace_secrets s
                   WHERE s.workspace_id = i.workspace_id AND s.key = $1)
               ORDER BY i.workspace_id FOR UPDATE)
           UPDATE provisioner.instances i
           SET restart_reason = $2, settled = false, next_at = now() + make_interval(secs => $3)
           FROM users WHERE i.workspace_id = users.workspace_id"#,
        key,
        reason,
        GATHER.as_secs_f64()
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(done.rows_affected())
}
