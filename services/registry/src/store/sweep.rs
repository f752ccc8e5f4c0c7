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

/// Decisions looked at in one go.
const PAGE: i64 = 5000;

/// Deletes decisions beyond the newest `keep` of each workspace that got one
/// after `from`, a page at a time. Returns up to which decision it looked.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn trim_decisions(
    connection: &mut PgConnection,
    from: i64,
    keep: i64,
) -> Result<i64, Error> {
    sqlx::query_scalar!(
        r#"WITH page AS MATERIALIZED (
               SELECT id, workspace_id FROM registry.decisions
               WHERE id > $1 ORDER BY id LIMIT $3),
           edge AS (
               SELECT r.workspace_id, e.id
               FROM (SELECT DISTINCT workspace_id FROM page) r
               CROSS JOIN LATERAL (
                   SELECT d.id FROM registry.decisions d
                   WHERE d.workspace_id = r.workspace_id
                   ORDER BY d.id DESC OFFSET $2 LIMIT 1) e),
           gone AS (
               DELETE FROM registry.decisions d USING edge
               WHERE d.workspace_id = edge.workspace_id AND d.id <= edge.id)
           SELECT coalesce((SELECT max(id) FROM page), $1) AS "up_to!""#,
        from,
        keep,
        PAGE
    )
    .fetch_one(connection)
    .await
    .map_err(store_error)
}
