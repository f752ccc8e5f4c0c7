//! What keeps the log small and honest: overdue intents are closed, old rows
//! deleted, rows of purged workspaces emptied. Each in batches, each safe on
//! several replicas.

use candor_kernel::Error;
use candor_process::pool::store_error;
use sqlx::PgConnection;
use uuid::Uuid;

use super::read::Place;
use super::write::{Places, Told};

/// Rows changed in one transaction, at most.
pub const BATCH: i64 = 1000;
/// Seconds after its deadline when an intent is closed.
const GRACE_SECONDS: f64 = 60.0;

/// Whether there is an overdue intent.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn is_any_overdue(connection: &mut PgConnection) -> Result<bool, Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM public.activity_logs
               WHERE phase = 'intent' AND deadline < now() - $1 * interval '1 second') AS "any!""#,
        GRACE_SECONDS
    )
    .fetch_one(connection)
    .await
    .map_err(store_error)
}

/// The overdue intents, held until the transaction ends.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn overdue(connection: &mut PgConnection) -> Result<Vec<Uuid>, Error> {
    sqlx::query_scalar!(
        r#"SELECT id FROM public.activity_logs
           WHERE phase = 'intent' AND deadline < now() - $2 * interval '1 second'
           ORDER BY deadline LIMIT $1 FOR UPDATE SKIP LOCKED"#,
        BATCH,
        GRACE_SECONDS
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// Closes intents whose outcome nobody told.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn reap(
    connection: &mut PgConnection,
    ids: &[Uuid],
    places: Places,
) -> Result<Vec<Told>, Error> {
    sqlx::query_as!(
        Told,
        r#"UPDATE public.activity_logs a
           SET phase = 'final', status = 'error', error_detail = 'outcome unknown',
               reaped_at = clock_timestamp(), seq = $2::bigint - $3::bigint + u.n,
               created_at = $4::timestamptz - ($3::bigint - u.n) * interval '1 microsecond'
           FROM unnest($1::uuid[]) WITH ORDINALITY AS u (id, n)
           WHERE a.id = u.id AND a.phase = 'intent'
           RETURNING a.id, a.workspace_id, a.activity_type, a.method, a.summary, a.status,
                     a.source_id, a.target_id, a.duration_ms, a.tool_trace_text AS tool_trace"#,
        ids,
        places.last,
        i64::try_from(ids.len()).unwrap_or(i64::MAX),
        places.at
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// Deletes the oldest rows beyond the retention; returns how many.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn delete_old(connection: &mut PgConnection, days: i32) -> Result<u64, Error> {
    let done = sqlx::query!(
        r#"WITH old AS (
               SELECT id FROM public.activity_logs
               WHERE created_at < now() - $1 * interval '1 day' AND phase <> 'intent'
               ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED),
           late AS (DELETE FROM activity.late_outcomes l USING old WHERE l.id = old.id)
           DELETE FROM public.activity_logs a USING old WHERE a.id = old.id"#,
        f64::from(days),
        BATCH
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(done.rows_affected())
}

/// A purged workspace whose rows are not emptied yet. A moment after the purge:
/// a row that was on its way is emptied, too.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn purged(connection: &mut PgConnection) -> Result<Option<Uuid>, Error> {
    sqlx::query_scalar!(
        r#"SELECT t.id FROM registry.tombstones t
           WHERE t.purged_at < now() - interval '10 seconds'
             AND NOT EXISTS (SELECT 1 FROM activity.emptied e WHERE e.workspace_id = t.id)
           LIMIT 1"#
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)
}

/// One step through a workspace's rows.
#[derive(Debug, Clone, Copy)]
pub struct Emptied {
    /// Rows that lost their bodies.
    pub emptied: u64,
    /// The last row that was looked at; none at the end.
    pub last: Option<Place>,
}

/// Empties bodies of the workspace's next rows after a place.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn empty(
    connection: &mut PgConnection,
    workspace: Uuid,
    after: Option<Place>,
) -> Result<Emptied, Error> {
    let looked_at = sqlx::query_as!(
        Place,
        r#"SELECT created_at AS "created_at!", seq, id FROM public.activity_logs
           WHERE workspace_id = $1 AND created_at IS NOT NULL
             AND ($2::timestamptz IS NULL OR (created_at, seq, id) > ($2, $3::bigint, $4::uuid))
           ORDER BY created_at, seq, id LIMIT $5"#,
        workspace,
        after.map(|place| place.created_at),
        after.map(|place| place.seq),
        after.map(|place| place.id),
        BATCH
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(store_error)?;
    let ids: Vec<Uuid> = looked_at.iter().map(|place| place.id).collect();
    let done = sqlx::query!(
        r#"UPDATE public.activity_logs
           SET request_text = NULL, request_bytes = NULL, request_body = NULL,
               request_is_json = NULL, response_text = NULL, response_bytes = NULL,
               response_body = NULL, response_is_json = NULL, tool_trace_text = NULL,
               tool_trace = NULL
           WHERE (id = ANY($2) OR (workspace_id = $1 AND created_at IS NULL))
             AND (request_text IS NOT NULL OR request_bytes IS NOT NULL
                  OR request_body IS NOT NULL OR response_text IS NOT NULL
                  OR response_bytes IS NOT NULL OR response_body IS NOT NULL
                  OR tool_trace_text IS NOT NULL OR tool_trace IS NOT NULL)"#,
        workspace,
        &ids
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(Emptied {
        emptied: done.rows_affected(),
        last: looked_at.last().copied(),
    })
}

/// Deletes late outcomes of a purged workspace, and remembers that its rows are
/// empty.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn emptied(connection: &mut PgConnection, workspace: Uuid) -> Result<(), Error> {
    sqlx::query!(
        r#"WITH late AS (
               DELETE FROM activity.late_outcomes l USING public.activity_logs a
               WHERE l.id = a.id AND a.workspace_id = $1)
           INSERT INTO activity.emptied (workspace_id) VALUES ($1) ON CONFLICT DO NOTHING"#,
        workspace
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// A readiness check: the table is there, and so is the place.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn ready(connection: &mut PgConnection) -> Result<i64, Error> {
    sqlx::query_scalar!("SELECT last FROM activity.log_position")
        .fetch_one(connection)
        .await
        .map_err(store_error)
}
