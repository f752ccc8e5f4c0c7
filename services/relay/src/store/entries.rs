//! The ledger: what was accepted, and what became of it.

use candor_kernel::{Error, WorkspaceId};
use candor_process::pool::store_error;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// A message to be accepted.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct NewEntry {
    pub id: Uuid,
    pub workspace: WorkspaceId,
    pub caller: String,
    /// The same, encoded for the activity log.
    pub source: Vec<u8>,
    pub message_id: Option<String>,
    pub method: String,
    pub priority: i16,
    pub body: Vec<u8>,
    pub a2a_version: String,
    pub polled: bool,
    /// Attempts that were made already.
    pub attempts: i32,
    pub maybe_delivered: bool,
    pub last_error: Option<String>,
    /// Until the next attempt, in seconds.
    pub delay: f64,
    pub activity_id: Uuid,
    pub delegation_id: Option<String>,
    /// Its row is in the activity log, or on its way there.
    pub listed: bool,
}

/// How an acceptance went.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct Accepted {
    pub id: Uuid,
    /// False if the same message waits already: it stays as it is.
    pub is_new: bool,
}

/// Accepts a message; the same message that waits already stays alone.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn accept(connection: &mut PgConnection, entry: &NewEntry) -> Result<Accepted, Error> {
    // Twice: the other one may be settled between the two statements.
    for _ in 0..3 {
        let inserted = sqlx::query_scalar!(
            r#"INSERT INTO relay.entries
                   (id, workspace_id, caller, source, message_id, method, priority, body,
                    a2a_version, polled, attempts, maybe_delivered, last_error,
                    next_attempt_at, expires_at, activity_id, delegation_id, listed)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
                       clock_timestamp() + $14 * interval '1 second',
                       clock_timestamp() + interval '24 hours', $15, $16, $17)
               ON CONFLICT (workspace_id, caller, message_id)
                   WHERE state IN ('accepted', 'leased') DO NOTHING
               RETURNING id"#,
            entry.id,
            entry.workspace.as_uuid(),
            entry.caller,
            entry.source,
            entry.message_id,
            entry.method,
            entry.priority,
            entry.body,
            entry.a2a_version,
            entry.polled,
            entry.attempts,
            entry.maybe_delivered,
            entry.last_error,
            entry.delay,
            entry.activity_id,
            entry.delegation_id,
            entry.listed
        )
        .fetch_optional(&mut *connection)
        .await
        .map_err(store_error)?;
        if let Some(id) = inserted {
            return Ok(Accepted { id, is_new: true });
        }
        let open = sqlx::query_scalar!(
            r#"SELECT id FROM relay.entries
               WHERE workspace_id = $1 AND caller = $2 AND message_id = $3
                 AND state IN ('accepted', 'leased')"#,
            entry.workspace.as_uuid(),
            entry.caller,
            entry.message_id
        )
        .fetch_optional(&mut *connection)
        .await
        .map_err(store_error)?;
        if let Some(id) = open {
            return Ok(Accepted { id, is_new: false });
        }
    }
    Err(Error::store_unavailable("the ledger changes too fast"))
}

/// How many messages wait for a workspace.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn depth(connection: &mut PgConnection, workspace: WorkspaceId) -> Result<i64, Error> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM relay.entries
           WHERE workspace_id = $1 AND state IN ('accepted', 'leased')"#,
        workspace.as_uuid()
    )
    .fetch_one(connection)
    .await
    .map_err(store_error)
}

/// An entry as operators see it.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Entry {
    pub id: Uuid,
    pub workspace_id: Uuid,
    pub state: String,
    pub caller: String,
    pub message_id: Option<String>,
    pub method: String,
    pub priority: i16,
    pub attempts: i32,
    pub maybe_delivered: bool,
    pub last_error: Option<String>,
    pub accepted_at: DateTime<Utc>,
    pub next_attempt_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub settled_at: Option<DateTime<Utc>>,
    pub activity_id: Uuid,
    pub delegation_id: Option<String>,
}

/// Entries in the order of their delivery; settled ones too if `all`, the newest.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn list(
    connection: &mut PgConnection,
    workspace: Option<WorkspaceId>,
    all: bool,
    limit: i64,
) -> Result<Vec<Entry>, Error> {
    sqlx::query_as!(
        Entry,
        r#"SELECT * FROM (
               SELECT id, workspace_id, state, caller, message_id, method, priority, attempts,
                      maybe_delivered, last_error, accepted_at, next_attempt_at, expires_at,
                      settled_at, activity_id, delegation_id
               FROM relay.entries
               WHERE ($1::uuid IS NULL OR workspace_id = $1)
                 AND ($2 OR state IN ('accepted', 'leased'))
               ORDER BY (settled_at IS NULL) DESC, settled_at DESC, priority DESC, n
               LIMIT $3) page
           ORDER BY workspace_id, (settled_at IS NULL) DESC, settled_at DESC, priority DESC,
                    accepted_at"#,
        workspace.map(|id| id.as_uuid()),
        all,
        limit
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// One entry.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn get(connection: &mut PgConnection, id: Uuid) -> Result<Option<Entry>, Error> {
    sqlx::query_as!(
        Entry,
        r#"SELECT id, workspace_id, state, caller, message_id, method, priority, attempts,
                  maybe_delivered, last_error, accepted_at, next_attempt_at, expires_at,
                  settled_at, activity_id, delegation_id
           FROM relay.entries WHERE id = $1"#,
        id
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)
}

/// Holds an entry as it is until the transaction ends.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn lock(connection: &mut PgConnection, id: Uuid) -> Result<(), Error> {
    sqlx::query!("SELECT id FROM relay.entries WHERE id = $1 FOR UPDATE", id)
        .fetch_optional(connection)
        .await
        .map_err(store_error)?;
    Ok(())
}

/// The entry that has this row in the activity log.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn of_activity(
    connection: &mut PgConnection,
    activity: Uuid,
) -> Result<Option<Uuid>, Error> {
    sqlx::query_scalar!(
        "SELECT id FROM relay.entries WHERE activity_id = $1",
        activity
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)
}

/// Another attempt at a message that waits as this entry ended after the agent may have
/// read it.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn may_be_delivered(connection: &mut PgConnection, id: Uuid) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE relay.entries SET maybe_delivered = true WHERE id = $1 AND NOT maybe_delivered",
        id
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// The message itself.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn body(connection: &mut PgConnection, id: Uuid) -> Result<Option<Vec<u8>>, Error> {
    sqlx::query_scalar!("SELECT body FROM relay.entries WHERE id = $1", id)
        .fetch_optional(connection)
        .await
        .map_err(store_error)
}

/// What a settled entry was, for whoever reports it.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Settled {
    pub workspace_id: Uuid,
    pub caller: String,
    pub source: Vec<u8>,
    pub method: String,
    pub body: Vec<u8>,
    pub activity_id: Uuid,
    pub delegation_id: Option<String>,
    pub listed: bool,
}

/// Settles an entry that this relay holds the lease of (`owner`), or one that
/// nobody is sending (none). False if it is not so any more.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn settle(
    connection: &mut PgConnection,
    id: Uuid,
    owner: Option<Uuid>,
    state: &str,
    error: Option<&str>,
) -> Result<Option<Settled>, Error> {
    sqlx::query_as!(
        Settled,
        r#"UPDATE relay.entries
           SET state = $3, last_error = coalesce($4, last_error), settled_at = clock_timestamp(),
               lease_owner = NULL, lease_until = NULL
           WHERE id = $1
             AND ((state = 'leased' AND lease_owner = $2) OR ($2 IS NULL AND state = 'accepted'))
           RETURNING workspace_id, caller, source, method,
                     CASE WHEN listed THEN ''::bytea ELSE body END AS "body!", activity_id,
                     delegation_id, listed"#,
        id,
        owner,
        state,
        error
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)
}

/// Notes that an entry's row is in the activity log; false if it was there.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn list_row(connection: &mut PgConnection, id: Uuid) -> Result<bool, Error> {
    let listed = sqlx::query!(
        "UPDATE relay.entries SET listed = true WHERE id = $1 AND NOT listed",
        id
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(listed.rows_affected() > 0)
}

/// Notes that an entry's row is in the activity log, and what it says; none if it was
/// there.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn unlisted(connection: &mut PgConnection, id: Uuid) -> Result<Option<Settled>, Error> {
    sqlx::query_as!(
        Settled,
        r#"UPDATE relay.entries SET listed = true WHERE id = $1 AND NOT listed
           RETURNING workspace_id, caller, source, method, body, activity_id,
                     delegation_id, listed"#,
        id
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)
}

/// Gives an entry another row in the activity log, since its own is closed.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn renew_row(
    connection: &mut PgConnection,
    id: Uuid,
    activity_id: Uuid,
) -> Result<Settled, Error> {
    sqlx::query_as!(
        Settled,
        r#"UPDATE relay.entries SET activity_id = $2, listed = true WHERE id = $1
           RETURNING workspace_id, caller, source, method,
                     body, activity_id,
                     delegation_id, listed"#,
        id,
        activity_id
    )
    .fetch_one(connection)
    .await
    .map_err(store_error)
}

/// Entries that have waited for too long, at most so many; nobody is sending them.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn expired(connection: &mut PgConnection, most: i64) -> Result<Vec<Uuid>, Error> {
    sqlx::query_scalar!(
        r#"SELECT id FROM relay.entries WHERE state = 'accepted' AND expires_at < now()
           ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED"#,
        most
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// Entries, of one workspace or of all, that have waited for longer than so many
/// seconds, at most so many; nobody is sending them.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn stale(
    connection: &mut PgConnection,
    workspace: Option<WorkspaceId>,
    older_than: f64,
    most: i64,
) -> Result<Vec<Uuid>, Error> {
    sqlx::query_scalar!(
        r#"SELECT id FROM relay.entries
           WHERE state = 'accepted' AND ($1::uuid IS NULL OR workspace_id = $1)
             AND accepted_at < clock_timestamp() - $2 * interval '1 second'
           ORDER BY n LIMIT $3 FOR UPDATE SKIP LOCKED"#,
        workspace.map(|id| id.as_uuid()),
        older_than,
        most
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// Settles entries that the transaction holds.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn settle_all(
    connection: &mut PgConnection,
    ids: &[Uuid],
    state: &str,
    error: &str,
) -> Result<Vec<Settled>, Error> {
    sqlx::query_as!(
        Settled,
        r#"UPDATE relay.entries
           SET state = $2, settled_at = clock_timestamp(),
               last_error = CASE WHEN last_error IS NULL THEN $3::text
                                 ELSE last_error || '; ' || $3 END
           WHERE id = ANY($1) AND state = 'accepted'
           RETURNING workspace_id, caller, source, method,
                     CASE WHEN listed THEN ''::bytea ELSE body END AS "body!", activity_id,
                     delegation_id, listed"#,
        ids,
        state,
        error
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// Settles entries that their workspace fetched by itself.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn settle_polled(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    activities: &[Uuid],
) -> Result<Vec<Settled>, Error> {
    sqlx::query_as!(
        Settled,
        r#"UPDATE relay.entries SET state = 'delivered', settled_at = clock_timestamp()
           WHERE workspace_id = $1 AND polled AND state = 'accepted' AND activity_id = ANY($2)
           RETURNING workspace_id, caller, source, method,
                     CASE WHEN listed THEN ''::bytea ELSE body END AS "body!", activity_id,
                     delegation_id, listed"#,
        workspace.as_uuid(),
        activities
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// Forgets what was settled so many days ago.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn forget(connection: &mut PgConnection, days: i32, most: i64) -> Result<u64, Error> {
    let gone = sqlx::query!(
        r#"DELETE FROM relay.entries WHERE id IN (
               SELECT id FROM relay.entries
               WHERE settled_at < now() - make_interval(days => $1) LIMIT $2)
             AND settled_at < now() - make_interval(days => $1)"#,
        days,
        most
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(gone.rows_affected())
}
