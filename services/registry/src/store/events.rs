//! Structure events: the table is the registry's own outbox; `seq` is drawn
//! after the commit, under an advisory lock, so it has no gaps and no reader
//! that follows it skips a late commit.

use candor_kernel::{Error, WorkspaceId};
use candor_process::pool::store_error;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// The channel that wakes other processes; its payload is the newest `seq`.
/// Nothing depends on it but latency.
pub const CHANNEL: &str = "candor_events";

/// Events sequenced in one transaction, at most.
const PAGE: i64 = 1000;

/// A stored event.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct StoredEvent {
    pub id: uuid::Uuid,
    pub event_type: String,
    pub workspace_id: Option<uuid::Uuid>,
    /// JSON text as Postgres prints it.
    pub payload: Option<String>,
    pub created_at: Option<DateTime<Utc>>,
    pub seq: Option<i64>,
    pub traceparent: Option<String>,
}

/// The newest events, newest first; those before one of another page.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn newest(
    connection: &mut PgConnection,
    workspace: Option<WorkspaceId>,
    before: Option<(DateTime<Utc>, uuid::Uuid)>,
    limit: i64,
) -> Result<Vec<StoredEvent>, Error> {
    let (at, id) = (before.map(|(at, _)| at), before.map(|(_, id)| id));
    // Two statements, so that each has its own index.
    match workspace {
        Some(workspace) => {
            sqlx::query_as!(
                StoredEvent,
                r#"SELECT id, event_type, workspace_id, payload::text AS payload, created_at, seq,
                          traceparent
                   FROM public.structure_events WHERE workspace_id = $1
                     AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4::uuid))
                   ORDER BY created_at DESC, id DESC LIMIT $2"#,
                workspace.as_uuid(),
                limit,
                at,
                id
            )
            .fetch_all(connection)
            .await
        }
        None => {
            sqlx::query_as!(
                StoredEvent,
                r#"SELECT id, event_type, workspace_id, payload::text AS payload, created_at, seq,
                          traceparent
                   FROM public.structure_events
                   WHERE $2::timestamptz IS NULL OR (created_at, id) < ($2, $3::uuid)
                   ORDER BY created_at DESC, id DESC LIMIT $1"#,
                limit,
                at,
                id
            )
            .fetch_all(connection)
            .await
        }
    }
    .map_err(store_error)
}

/// Sequenced events after a cursor, oldest first.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn after(
    connection: &mut PgConnection,
    seq: i64,
    limit: i64,
) -> Result<Vec<StoredEvent>, Error> {
    sqlx::query_as!(
        StoredEvent,
        r#"SELECT id, event_type, workspace_id, payload::text AS payload, created_at, seq,
                  traceparent
           FROM public.structure_events WHERE seq > $1 ORDER BY seq LIMIT $2"#,
        seq,
        limit
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// The newest `seq` that was drawn.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn last_seq(connection: &mut PgConnection) -> Result<i64, Error> {
    sqlx::query_scalar!("SELECT last FROM registry.event_sequence")
        .fetch_one(connection)
        .await
        .map_err(store_error)
}

/// Draws `seq` for committed events that have none, oldest first, and wakes
/// other processes. Returns how many it drew and the newest `seq`.
///
/// The lock is held until the caller commits: numbers become visible in order.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn sequence(connection: &mut PgConnection) -> Result<(i64, i64), Error> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('candor.event_sequence', 0))")
        .fetch_one(&mut *connection)
        .await
        .map_err(store_error)?;
    let drawn = sqlx::query!(
        r#"WITH waiting AS (
               SELECT id, row_number() OVER (ORDER BY created_at, id) AS n
               FROM public.structure_events WHERE seq IS NULL
               ORDER BY created_at, id LIMIT $1),
           drawn AS (
               UPDATE public.structure_events e
               SET seq = (SELECT last FROM registry.event_sequence) + w.n
               FROM waiting w WHERE e.id = w.id RETURNING 1),
           moved AS (
               UPDATE registry.event_sequence SET last = last + (SELECT count(*) FROM drawn)
               WHERE EXISTS (SELECT 1 FROM drawn) RETURNING last)
           SELECT (SELECT count(*) FROM drawn) AS "count!",
                  coalesce((SELECT last FROM moved), (SELECT last FROM registry.event_sequence)) AS "last!""#,
        PAGE
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(store_error)?;
    if drawn.count > 0 {
        sqlx::query!("SELECT pg_notify($1, $2)", CHANNEL, drawn.last.to_string())
            .fetch_one(connection)
            .await
            .map_err(store_error)?;
    }
    Ok((drawn.count, drawn.last))
}

/// An event of another service, to be appended once.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Appended<'a> {
    pub id: uuid::Uuid,
    pub event_type: &'a str,
    pub workspace_id: uuid::Uuid,
    pub payload: &'a str,
    pub created_at: DateTime<Utc>,
    pub traceparent: Option<&'a str>,
}

/// Appends an event; false when one with this id is there already.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn append(connection: &mut PgConnection, event: &Appended<'_>) -> Result<bool, Error> {
    let done = sqlx::query!(
        r#"INSERT INTO public.structure_events
               (id, event_type, workspace_id, payload, created_at, traceparent)
           VALUES ($1, $2, $3, ($4::text)::jsonb, least($5, now()), $6) ON CONFLICT (id) DO NOTHING"#,
        event.id,
        event.event_type,
        event.workspace_id,
        event.payload,
        event.created_at,
        event.traceparent
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(done.rows_affected() == 1)
}

/// True if the stored event with this id says the same.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn is_same(connection: &mut PgConnection, event: &Appended<'_>) -> Result<bool, Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM public.structure_events
               WHERE id = $1 AND event_type = $2 AND workspace_id = $3
                 AND payload = ($4::text)::jsonb) AS "same!""#,
        event.id,
        event.event_type,
        event.workspace_id,
        event.payload
    )
    .fetch_one(connection)
    .await
    .map_err(store_error)
}
