//! What was done for an instance, step by step; the newest are kept.

use candor_kernel::Error;
use candor_process::pool::store_error;
use sqlx::PgConnection;
use uuid::Uuid;

/// Steps of a workspace that are kept.
const KEPT: i64 = 200;

/// A step, as it ended.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct Done<'a> {
    pub id: Uuid,
    pub epoch: i64,
    pub step: &'a str,
    /// `done`, `failed` or `waits`.
    pub outcome: &'a str,
    pub detail: &'a str,
    /// Milliseconds.
    pub took: i64,
}

/// Writes it down.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn record(connection: &mut PgConnection, done: &Done<'_>) -> Result<(), Error> {
    sqlx::query!(
        r#"WITH new AS (
               INSERT INTO provisioner.steps (workspace_id, epoch, step, outcome, detail, took_ms)
               VALUES ($1, $2, $3, $4, $5, $6))
           DELETE FROM provisioner.steps WHERE id IN (
               SELECT id FROM provisioner.steps WHERE workspace_id = $1
               ORDER BY id DESC OFFSET $7)"#,
        done.id,
        done.epoch,
        done.step,
        done.outcome,
        done.detail,
        done.took,
        KEPT
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}
