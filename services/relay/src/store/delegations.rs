//! Tasks that one workspace handed to another.

use candor_kernel::{Error, WorkspaceId};
use candor_process::pool::store_error;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// A delegation to be written down.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct NewDelegation<'a> {
    pub source: WorkspaceId,
    pub id: &'a str,
    pub target: WorkspaceId,
    pub idempotency_key: Option<&'a str>,
    pub status: &'a str,
    pub activity_id: Uuid,
    /// The workspace sends it by itself.
    pub noted: bool,
    /// Who delegates, encoded for the activity log.
    pub source_row: Vec<u8>,
}

/// A delegation that was there already.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Known {
    pub id: String,
    pub status: String,
    pub target_id: Option<Uuid>,
}

/// Writes one down, unless its id, or its key, is known; a key is free again once its
/// delegation failed (contract/a2a.md, "Delegation").
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn create(
    connection: &mut PgConnection,
    new: &NewDelegation<'_>,
) -> Result<Option<Known>, Error> {
    sqlx::query!(
        r#"DELETE FROM relay.delegations
           WHERE source_id = $1 AND idempotency_key = $2 AND status = 'failed'"#,
        new.source.as_uuid(),
        new.idempotency_key
    )
    .execute(&mut *connection)
    .await
    .map_err(store_error)?;
    let created = sqlx::query!(
        r#"INSERT INTO relay.delegations
               (source_id, id, target_id, idempotency_key, status, activity_id, noted,
                source_row)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING"#,
        new.source.as_uuid(),
        new.id,
        new.target.as_uuid(),
        new.idempotency_key,
        new.status,
        new.activity_id,
        new.noted,
        new.source_row
    )
    .execute(&mut *connection)
    .await
    .map_err(store_error)?;
    if created.rows_affected() > 0 {
        return Ok(None);
    }
    sqlx::query_as!(
        Known,
        r#"SELECT id, status, target_id FROM relay.delegations
           WHERE source_id = $1 AND (id = $2 OR idempotency_key = $3)
           ORDER BY idempotency_key = $3 DESC NULLS LAST LIMIT 1"#,
        new.source.as_uuid(),
        new.id,
        new.idempotency_key
    )
    .fetch_one(connection)
    .await
    .map(Some)
    .map_err(store_error)
}

/// Notes a step of one that is not settled; true if it is another one than before.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn step(
    connection: &mut PgConnection,
    source: WorkspaceId,
    id: &str,
    status: &str,
) -> Result<bool, Error> {
    let changed = sqlx::query!(
        r#"UPDATE relay.delegations SET status = $3
           WHERE source_id = $1 AND id = $2 AND settled_at IS NULL AND status <> $3"#,
        source.as_uuid(),
        id,
        status
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(changed.rows_affected() > 0)
}

/// The result of one.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Finding<'a> {
    pub status: &'a str,
    pub error: Option<&'a str>,
    pub preview: Option<&'a str>,
    pub activity_id: Uuid,
}

/// What a settled delegation was.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Settled {
    pub target_id: Option<Uuid>,
    pub activity_id: Uuid,
    pub noted: bool,
    pub source_row: Vec<u8>,
}

/// Settles one, once; none if it is unknown or settled.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn settle(
    connection: &mut PgConnection,
    source: WorkspaceId,
    id: &str,
    result: &Finding<'_>,
) -> Result<Option<Settled>, Error> {
    sqlx::query_as!(
        Settled,
        r#"UPDATE relay.delegations
           SET status = $3, error = $4, preview = $5, result_activity_id = $6,
               settled_at = clock_timestamp()
           WHERE source_id = $1 AND id = $2 AND settled_at IS NULL
           RETURNING target_id, activity_id, noted, source_row"#,
        source.as_uuid(),
        id,
        result.status,
        result.error,
        result.preview,
        result.activity_id
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)
}

/// One delegation.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Delegation {
    pub id: String,
    pub target_id: Option<Uuid>,
    pub status: String,
    pub error: Option<String>,
    pub preview: Option<String>,
    pub activity_id: Uuid,
    pub result_activity_id: Option<Uuid>,
    pub created_at: DateTime<Utc>,
    pub settled_at: Option<DateTime<Utc>>,
    pub noted: bool,
}

/// The newest ones of a workspace.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn newest(
    connection: &mut PgConnection,
    source: WorkspaceId,
    limit: i64,
) -> Result<Vec<Delegation>, Error> {
    sqlx::query_as!(
        Delegation,
        r#"SELECT id, target_id, status, error, preview, activity_id, result_activity_id,
                  created_at, settled_at, noted
           FROM relay.delegations WHERE source_id = $1 ORDER BY n DESC LIMIT $2"#,
        source.as_uuid(),
        limit
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// What became of one.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn get(
    connection: &mut PgConnection,
    source: WorkspaceId,
    id: &str,
) -> Result<Option<Known>, Error> {
    sqlx::query_as!(
        Known,
        "SELECT id, status, target_id FROM relay.delegations WHERE source_id = $1 AND id = $2",
        source.as_uuid(),
        id
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)
}

/// Whether a workspace exists and is not removed.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn is_workspace(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
) -> Result<bool, Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM public.workspaces
                          WHERE id = $1 AND status <> 'removed') AS "exists!""#,
        workspace.as_uuid()
    )
    .fetch_one(connection)
    .await
    .map_err(store_error)
}

/// Forgets what was settled so many days ago.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn forget(connection: &mut PgConnection, days: i32, most: i64) -> Result<u64, Error> {
    let gone = sqlx::query!(
        r#"DELETE FROM relay.delegations WHERE (source_id, id) IN (
               SELECT source_id, id FROM relay.delegations
               WHERE settled_at < now() - make_interval(days => $1) LIMIT $2)"#,
        days,
        most
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(gone.rows_affected())
}
