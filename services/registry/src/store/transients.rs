//! Events that are not stored, on their way to other registries.

use candor_events::{Envelope, Held};
use candor_kernel::Error;
use candor_process::pool::store_error;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::postgres::PgListener;
use uuid::Uuid;

/// The channel that wakes other registries.
pub const CHANNEL: &str = "candor_transients";
/// The payload that says that a registry came or went.
pub const MEMBERSHIP: &str = "membership";

/// Events read at once, at most.
const PAGE: i64 = 500;
/// Bytes of payload after which a page ends.
const PAGE_BYTES: i64 = 4 * 1024 * 1024;

/// An event of a registry; without a type it says that some are missing.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Handed {
    pub n: i64,
    pub origin: Uuid,
    pub event_type: Option<String>,
    pub workspace_id: String,
    pub payload: String,
    pub at: DateTime<Utc>,
}

/// The class of the advisory locks of registries that run.
const RUNNING: i32 = 0x0CA2_D0E5;

/// Says that this registry runs, for as long as the session lives.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn join(session: &mut PgListener, me: Uuid) -> Result<(), Error> {
    let slot = sqlx::query_scalar!(
        r#"INSERT INTO registry.replicas (id) VALUES ($1)
           ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp() RETURNING slot"#,
        me
    )
    .fetch_one(&mut *session)
    .await
    .map_err(store_error)?;
    // Its own slot: held by nobody else, at most by a session before that still ends.
    sqlx::query!("SELECT pg_advisory_lock($1, $2)", RUNNING, slot)
        .fetch_one(session)
        .await
        .map_err(store_error)?;
    Ok(())
}

/// Which other registries run. What nobody needs any
/// more is deleted.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn others(connection: &mut PgConnection, me: Uuid) -> Result<Vec<Uuid>, Error> {
    sqlx::query_scalar!(
        r#"WITH mine AS (
               UPDATE registry.replicas SET seen_at = clock_timestamp() WHERE id = $1),
           gone AS (DELETE FROM registry.replicas WHERE seen_at < now() - interval '1 minute'),
           running AS (
               SELECT objid::bigint AS slot FROM pg_locks
               WHERE locktype = 'advisory' AND granted AND classid::bigint = $2
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())),
           read AS (DELETE FROM registry.transient_events
                    WHERE handed_at < now() - interval '30 seconds')
           SELECT id FROM registry.replicas JOIN running USING (slot) WHERE id <> $1"#,
        me,
        i64::from(RUNNING)
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// Tells the other registries to count again.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn tell_membership(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!("SELECT pg_notify($1, $2)", CHANNEL, MEMBERSHIP)
        .fetch_one(connection)
        .await
        .map_err(store_error)?;
    Ok(())
}

/// This registry ends.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn leave(connection: &mut PgConnection, me: Uuid) -> Result<(), Error> {
    sqlx::query!("DELETE FROM registry.replicas WHERE id = $1", me)
        .execute(connection)
        .await
        .map_err(store_error)?;
    Ok(())
}

/// The number of the last event.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn position(connection: &mut PgConnection) -> Result<i64, Error> {
    sqlx::query_scalar!("SELECT last FROM registry.transient_position")
        .fetch_one(connection)
        .await
        .map_err(store_error)
}

/// Hands events to the other registries, in their order; none stands for some
/// that are missing.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn hand_on(
    connection: &mut PgConnection,
    me: Uuid,
    events: &[Option<std::sync::Arc<Held>>],
) -> Result<(), Error> {
    let of = |field: fn(&Envelope) -> &str| -> Vec<&str> {
        let texts = events.iter();
        texts
            .map(|event| event.as_ref().map_or("", |event| field(event)))
            .collect()
    };
    let types: Vec<Option<&str>> = events
        .iter()
        .map(|event| event.as_deref().map(|event| event.event.as_str()))
        .collect();
    let times: Vec<DateTime<Utc>> = events
        .iter()
        .map(|event| event.as_deref().map_or_else(Utc::now, |e| e.timestamp))
        .collect();
    sqlx::query!(
        r#"WITH drawn AS (
               UPDATE registry.transient_position SET last = last + $1 RETURNING last),
           handed AS (
               INSERT INTO registry.transient_events
                   (n, origin, event_type, workspace_id, payload, at)
               SELECT (SELECT last FROM drawn) - $1 + u.n, $2, u.event_type, u.workspace_id,
                      u.payload, u.at
               FROM unnest($3::text[], $4::text[], $5::text[], $6::timestamptz[])
                   WITH ORDINALITY AS u (event_type, workspace_id, payload, at, n))
           SELECT pg_notify($7, last::text) FROM drawn"#,
        i64::try_from(events.len()).unwrap_or(i64::MAX),
        me,
        &types as _,
        &of(|event| &event.workspace_id) as _,
        &of(|event| &event.payload) as _,
        &times,
        CHANNEL
    )
    .fetch_one(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// Events after a number, in their order.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn after(connection: &mut PgConnection, n: i64) -> Result<Vec<Handed>, Error> {
    sqlx::query_as!(
        Handed,
        r#"SELECT n, origin, event_type, workspace_id, payload, at
           FROM (
               SELECT *, sum(octet_length(payload)) OVER (ORDER BY n ROWS UNBOUNDED PRECEDING)
                         - octet_length(payload) AS before
               FROM (SELECT * FROM registry.transient_events WHERE n > $1
                     ORDER BY n LIMIT $2) page) sized
           WHERE before < $3 ORDER BY n"#,
        n,
        PAGE,
        PAGE_BYTES
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}
