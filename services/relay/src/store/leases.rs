//! Who sends which accepted message now.

use candor_kernel::{Error, WorkspaceId};
use candor_process::pool::store_error;
use sqlx::PgConnection;
use uuid::Uuid;

/// Entries that change their way at once.
const PAGE: i64 = 100;

/// A message to be sent now.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Leased {
    pub id: Uuid,
    pub workspace_id: Uuid,
    pub caller: String,
    pub source: Vec<u8>,
    pub message_id: Option<String>,
    pub method: String,
    pub body: Vec<u8>,
    pub a2a_version: String,
    /// This one included.
    pub attempts: i32,
    pub fruitless: i32,
    pub activity_id: Uuid,
    pub delegation_id: Option<String>,
    pub listed: bool,
}

impl Leased {
    /// The task of a delegation that the platform sends: its message has the
    /// delegation's id.
    #[must_use]
    pub fn is_task(&self) -> bool {
        self.delegation_id.is_some() && self.delegation_id == self.message_id
    }
}

/// Takes back what a relay held that does not renew its leases any more; what this
/// relay is still sending (`held`) is its own.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn take_back(connection: &mut PgConnection, held: &[Uuid]) -> Result<u64, Error> {
    let taken = sqlx::query!(
        r#"UPDATE relay.entries
           SET state = 'accepted', lease_owner = NULL, lease_until = NULL,
               maybe_delivered = true, next_attempt_at = clock_timestamp(),
               last_error = 'the relay ended while it was sending this'
           WHERE state = 'leased' AND lease_until < now() AND id <> ALL($1)"#,
        held
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(taken.rows_affected())
}

/// Workspaces with a message that is due, but for those of which it is known that
/// nothing can be sent now.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn due(
    connection: &mut PgConnection,
    but: &[Uuid],
    most: i64,
) -> Result<Vec<Uuid>, Error> {
    sqlx::query_scalar!(
        r#"SELECT DISTINCT workspace_id FROM relay.entries
           WHERE state = 'accepted' AND NOT polled AND next_attempt_at <= now()
             AND workspace_id <> ALL($1)
           LIMIT $2"#,
        but,
        most
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// Until another message becomes due, in seconds; none if none will.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn next_due(connection: &mut PgConnection) -> Result<Option<f64>, Error> {
    sqlx::query_scalar!(
        r#"SELECT extract(epoch FROM min(next_attempt_at) - now())::double precision
           FROM relay.entries
           WHERE state = 'accepted' AND NOT polled AND next_attempt_at > now()"#
    )
    .fetch_one(connection)
    .await
    .map_err(store_error)
}

/// Takes the first messages that wait for a workspace, up to `at_once` on their way
/// at a time: a message that waits for its next attempt holds up those behind it.
/// The caller holds the workspace's lock.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn take(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    owner: Uuid,
    at_once: i64,
    lease_seconds: f64,
) -> Result<Vec<Leased>, Error> {
    sqlx::query_as!(
        Leased,
        r#"WITH head AS (
               SELECT id, next_attempt_at FROM relay.entries
               WHERE workspace_id = $1 AND state = 'accepted' AND NOT polled
               ORDER BY priority DESC, n
               LIMIT greatest($3 - (SELECT count(*) FROM relay.entries
                                    WHERE workspace_id = $1 AND state = 'leased'), 0))
           UPDATE relay.entries e
           SET state = 'leased', lease_owner = $2, attempts = attempts + 1,
               lease_until = clock_timestamp() + $4 * interval '1 second'
           FROM head
           WHERE e.id = head.id AND head.next_attempt_at <= now()
             -- As it is when the row is had: it may have been settled meanwhile.
             AND e.state = 'accepted' AND NOT e.polled
           RETURNING e.id, e.workspace_id, e.caller, e.source, e.message_id, e.method, e.body,
                     e.a2a_version, e.attempts, e.fruitless, e.activity_id, e.delegation_id,
                     e.listed"#,
        workspace.as_uuid(),
        owner,
        at_once,
        lease_seconds
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// Keeps leases; returns those that are still this relay's.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn renew(
    connection: &mut PgConnection,
    owner: Uuid,
    ids: &[Uuid],
    lease_seconds: f64,
) -> Result<Vec<Uuid>, Error> {
    sqlx::query_scalar!(
        r#"UPDATE relay.entries
           SET lease_until = clock_timestamp() + $3 * interval '1 second'
           WHERE id = ANY($1) AND state = 'leased' AND lease_owner = $2
           RETURNING id"#,
        ids,
        owner,
        lease_seconds
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// How an attempt ended that is not the last one.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct Postponed<'a> {
    pub id: Uuid,
    pub owner: Uuid,
    pub delay_seconds: f64,
    pub error: &'a str,
    pub maybe_delivered: bool,
    pub is_fruitless: bool,
    /// Nothing was tried: it does not count as an attempt.
    pub untried: bool,
}

/// Gives a lease back; the message is tried again later.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn postpone(connection: &mut PgConnection, how: Postponed<'_>) -> Result<(), Error> {
    sqlx::query!(
        r#"UPDATE relay.entries
           SET state = 'accepted', lease_owner = NULL, lease_until = NULL,
               next_attempt_at = clock_timestamp() + $3 * interval '1 second',
               last_error = $4, maybe_delivered = maybe_delivered OR $5,
               fruitless = fruitless + $6::boolean::integer,
               attempts = attempts - $7::boolean::integer
           WHERE id = $1 AND lease_owner = $2 AND state = 'leased'"#,
        how.id,
        how.owner,
        how.delay_seconds,
        how.error,
        how.maybe_delivered,
        how.is_fruitless,
        how.untried
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// Notes at the first message that waits for a workspace why it cannot be sent now.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn note(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    why: &str,
) -> Result<(), Error> {
    sqlx::query!(
        r#"UPDATE relay.entries SET last_error = $2
           WHERE id = (SELECT id FROM relay.entries
                       WHERE workspace_id = $1 AND state IN ('accepted', 'leased')
                       ORDER BY priority DESC, n LIMIT 1)
             AND state = 'accepted' AND last_error IS DISTINCT FROM $2"#,
        workspace.as_uuid(),
        why
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// Ends the pause of the first message that waits for each of these workspaces. A task
/// that waits for its agent to start again keeps it.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn hurry(connection: &mut PgConnection, workspaces: &[Uuid]) -> Result<(), Error> {
    sqlx::query!(
        r#"UPDATE relay.entries SET next_attempt_at = clock_timestamp()
           WHERE id IN (
               SELECT head.id
               FROM unnest($1::uuid[]) AS asked (workspace_id)
               CROSS JOIN LATERAL (
                   SELECT id FROM relay.entries e
                   WHERE e.workspace_id = asked.workspace_id
                     AND e.state IN ('accepted', 'leased') AND NOT e.polled
                   ORDER BY e.priority DESC, e.n LIMIT 1) head)
             AND state = 'accepted' AND next_attempt_at > now()
             AND (delegation_id IS DISTINCT FROM message_id OR fruitless = 0)"#,
        workspaces
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// A workspace's messages are fetched from now on, or sent: as it is now reached. A page
/// of them; returns those whose row is not in the activity log yet.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn set_polled(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    polled: bool,
) -> Result<Vec<Uuid>, Error> {
    let changed = sqlx::query!(
        r#"UPDATE relay.entries SET polled = $2
           WHERE id IN (
               SELECT id FROM relay.entries
               WHERE workspace_id = $1 AND state = 'accepted' AND polled <> $2
               ORDER BY priority DESC, n LIMIT $3 FOR UPDATE SKIP LOCKED)
           RETURNING id, listed"#,
        workspace.as_uuid(),
        polled,
        PAGE
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)?;
    let unlisted = changed.into_iter().filter(|row| !row.listed);
    Ok(unlisted.map(|row| row.id).collect())
}

/// Workspaces whose messages wait to be fetched, at most so many.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn polled(connection: &mut PgConnection, most: i64) -> Result<Vec<Uuid>, Error> {
    sqlx::query_scalar!(
        r#"SELECT workspace_id FROM (
               SELECT DISTINCT workspace_id FROM relay.entries
               WHERE state = 'accepted' AND polled) waiting
           ORDER BY random() LIMIT $1"#,
        most
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// Puts one at once in front of the worker, also one that was given up; false if it is
/// on its way or delivered, or if the same message waits as another entry.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn retry(connection: &mut PgConnection, id: Uuid) -> Result<bool, Error> {
    let changed = sqlx::query!(
        r#"UPDATE relay.entries e
           SET state = 'accepted', next_attempt_at = clock_timestamp(), settled_at = NULL,
               fruitless = 0, expires_at = greatest(expires_at, now() + interval '1 hour')
           WHERE id = $1 AND state IN ('accepted', 'failed', 'dropped', 'expired')
             AND NOT EXISTS (
                 SELECT 1 FROM relay.entries same
                 WHERE same.id <> e.id AND same.workspace_id = e.workspace_id
                   AND same.caller = e.caller AND same.message_id = e.message_id
                   AND same.state IN ('accepted', 'leased'))"#,
        id
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(changed.rows_affected() > 0)
}

/// Workspaces for which something waits, at most so many.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn waiting(connection: &mut PgConnection, most: i64) -> Result<Vec<Uuid>, Error> {
    sqlx::query_scalar!(
        r#"SELECT DISTINCT workspace_id FROM relay.entries
           WHERE state = 'accepted' AND NOT polled LIMIT $1"#,
        most
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}
