//! Finds leases that ended; a level-triggered query, safe on several replicas.

use candor_kernel::{Error, WorkspaceId};
use candor_process::pool::store_error;
use sqlx::PgConnection;

/// Locks up to `limit` workspaces whose lease ended more than the grace ago,
/// longest silent first. Rows that another replica works on are passed over.
/// Times are Postgres'.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn silent(
    connection: &mut PgConnection,
    grace_seconds: f64,
    external_grace_seconds: f64,
    limit: i64,
) -> Result<Vec<WorkspaceId>, Error> {
    let ids = sqlx::query_scalar!(
        r#"SELECT w.id FROM public.workspaces w
           JOIN registry.workspace_vitals v ON v.id = w.id
           WHERE w.status IN ('online', 'degraded')
             AND v.lease_until + make_interval(secs =>
                   CASE WHEN w.runtime = 'external' THEN $2::float8 ELSE $1::float8 END) < now()
           ORDER BY v.lease_until LIMIT $3
           FOR NO KEY UPDATE OF w SKIP LOCKED"#,
        grace_seconds,
        external_grace_seconds,
        limit
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)?;
    Ok(ids.into_iter().map(WorkspaceId::from_uuid).collect())
}

/// True if the lease is still over: a beat may have come between the search and
/// the lock. The vitals row stays locked, so none can come between this and the
/// commit.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn is_still_silent(
    connection: &mut PgConnection,
    id: WorkspaceId,
    grace_seconds: f64,
) -> Result<bool, Error> {
    let silent = sqlx::query_scalar!(
        r#"SELECT (lease_until + make_interval(secs => $2) < now()) IS TRUE AS "silent!"
           FROM registry.workspace_vitals WHERE id = $1 FOR NO KEY UPDATE"#,
        id.as_uuid(),
        grace_seconds
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)?;
    Ok(silent.unwrap_or(false))
}

/// Deletes decisions beyond the newest `keep` of each workspace, a bounded
/// number at a time. Returns how many went.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn trim_decisions(connection: &mut PgConnection, keep: i64) -> Result<u64, Error> {
    let done = sqlx::query!(
        r#"DELETE FROM registry.decisions WHERE id IN (
               SELECT id FROM (
                   SELECT id, row_number() OVER (PARTITION BY workspace_id ORDER BY id DESC) AS n
                   FROM registry.decisions) ranked
               WHERE n > $1 LIMIT 5000)"#,
        keep
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(done.rows_affected())
}
