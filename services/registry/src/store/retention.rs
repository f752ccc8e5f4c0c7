//! Deletes old rows, in batches that are safe on several replicas.

use candor_kernel::Error;
use candor_process::pool::store_error;
use sqlx::PgConnection;

/// Rows of one batch, at most.
const BATCH: i64 = 1000;

/// Deletes the oldest events up to the first one that is young enough, and
/// remembers up to which `seq` they are gone; returns how many. What comes before
/// a number that is kept is kept: a late delivery has an old time and a new number.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn delete_events(connection: &mut PgConnection, days: i32) -> Result<u64, Error> {
    let deleted = sqlx::query_scalar!(
        r#"WITH oldest AS (
               SELECT id, seq, created_at < now() - $1 * interval '1 day' AS is_old
               FROM public.structure_events WHERE seq IS NOT NULL ORDER BY seq LIMIT $2),
           -- One without a time is as old as its neighbours.
           kept AS (SELECT min(seq) AS first FROM oldest WHERE is_old IS FALSE),
           gone AS (
               DELETE FROM public.structure_events e USING oldest o, kept
               WHERE e.id = o.id AND (kept.first IS NULL OR o.seq < kept.first)
               RETURNING e.seq),
           told AS (
               UPDATE registry.event_sequence
               SET pruned_to = greatest(pruned_to, (SELECT max(seq) FROM gone))
               WHERE EXISTS (SELECT 1 FROM gone))
           SELECT count(*) AS "count!" FROM gone"#,
        f64::from(days),
        BATCH
    )
    .fetch_one(connection)
    .await
    .map_err(store_error)?;
    Ok(deleted.unsigned_abs())
}

/// Deletes tokens that were revoked 30 days ago, when they may not even read the
/// state of a removed workspace any more (deviation D15), and instance tokens
/// that were retired a day ago (design: section 4); returns how many. None of
/// them authenticates, so no version is raised.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn delete_tokens(connection: &mut PgConnection) -> Result<u64, Error> {
    let done = sqlx::query!(
        r#"DELETE FROM public.workspace_auth_tokens WHERE id IN (
               SELECT id FROM public.workspace_auth_tokens
               WHERE revoked_at < now() - interval '30 days'
                  OR (state = 'retired' AND retired_at < now() - interval '1 day')
               LIMIT $1 FOR UPDATE SKIP LOCKED)"#,
        BATCH
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(done.rows_affected())
}

/// Events up to this `seq` are gone.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn pruned_to(connection: &mut PgConnection) -> Result<i64, Error> {
    sqlx::query_scalar!("SELECT pruned_to FROM registry.event_sequence")
        .fetch_one(connection)
        .await
        .map_err(store_error)
}
