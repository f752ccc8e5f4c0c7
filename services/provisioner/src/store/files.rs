//! Files below `/configs` that people wrote.

use candor_kernel::{Error, WorkspaceId};
use candor_process::pool::store_error;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// One writer of a workspace's files at a time, until the end of the transaction.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn lock(connection: &mut PgConnection, workspace: WorkspaceId) -> Result<(), Error> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended('provisioner.files ' || $1::text, 0))",
        workspace.to_string()
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// Whether nobody else makes a workspace's team; nobody does until the end of the
/// transaction then.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn hold_team(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
) -> Result<bool, Error> {
    sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock(hashtextextended('provisioner.team ' || $1::text, 0))
           AS "held!""#,
        workspace.to_string()
    )
    .fetch_one(connection)
    .await
    .map_err(store_error)
}

/// Paths and lengths in bytes, by path.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn list(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
) -> Result<Vec<(String, i64)>, Error> {
    let rows = sqlx::query!(
        r#"SELECT path, octet_length(content)::bigint AS "bytes!" FROM provisioner.files
           WHERE workspace_id = $1 ORDER BY path"#,
        workspace.as_uuid()
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)?;
    Ok(rows.into_iter().map(|row| (row.path, row.bytes)).collect())
}

/// A file as an instance may be given it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Stored {
    pub path: String,
    pub content: Vec<u8>,
    /// No instance has it yet.
    pub fresh: bool,
    pub updated_at: DateTime<Utc>,
}

/// What no instance has yet, or everything; by path.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn stored(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    everything: bool,
) -> Result<Vec<Stored>, Error> {
    sqlx::query_as!(
        Stored,
        r#"SELECT path, content, fresh, updated_at FROM provisioner.files
           WHERE workspace_id = $1 AND (fresh OR $2) ORDER BY path"#,
        workspace.as_uuid(),
        everything
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// The instance of an epoch is about to be given these, and by its template others in the
/// place of those; whoever calls holds the [`lock`]. What is written from now on is
/// neither.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn mark(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    epoch: i64,
    given: &[String],
    replaced: &[String],
) -> Result<(), Error> {
    sqlx::query!(
        r#"UPDATE provisioner.files
           SET given_to = CASE WHEN path = ANY($3) THEN $2::bigint END,
               replaced_by = CASE WHEN path = ANY($4) THEN $2::bigint END
           WHERE workspace_id = $1 AND (path = ANY($3) OR path = ANY($4))"#,
        workspace.as_uuid(),
        epoch,
        given,
        replaced
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// The instance of an epoch was started: it has what it was given.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn started(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    epoch: i64,
) -> Result<(), Error> {
    sqlx::query!(
        r#"WITH replaced AS (
               DELETE FROM provisioner.files WHERE workspace_id = $1 AND replaced_by = $2)
           UPDATE provisioner.files SET fresh = false
           WHERE workspace_id = $1 AND given_to = $2 AND fresh AND replaced_by IS NULL"#,
        workspace.as_uuid(),
        epoch
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// Which files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Every one.
    All,
    /// Those that no instance has yet.
    Fresh,
    /// Those that people wrote, or the platform.
    ByOperator,
}

/// One file.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn read(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    path: &str,
    which: Which,
) -> Result<Option<Vec<u8>>, Error> {
    sqlx::query_scalar!(
        r#"SELECT content FROM provisioner.files
           WHERE workspace_id = $1 AND path = $2 AND (fresh OR NOT $3) AND (by_operator OR NOT $4)"#,
        workspace.as_uuid(),
        path,
        which == Which::Fresh,
        which == Which::ByOperator
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)
}

/// By whom files are written, and where they are.
#[derive(Debug, Clone, Copy)]
pub struct Written {
    /// By people or the platform, not by the workspace itself.
    pub by_operator: bool,
    /// Where the workspace's instances read them, too.
    pub live: bool,
}

/// Writes files, over those of the same paths; false if there is no such workspace.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn write(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    paths: &[String],
    contents: &[Vec<u8>],
    written: Written,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        r#"INSERT INTO provisioner.files (workspace_id, path, content, fresh, by_operator)
           SELECT w.id, given.path, given.content, NOT $4, $5
           FROM public.workspaces w, UNNEST($2::text[], $3::bytea[]) AS given (path, content)
           WHERE w.id = $1
           ON CONFLICT (workspace_id, path) DO UPDATE
           SET content = excluded.content, fresh = excluded.fresh,
               by_operator = excluded.by_operator, given_to = NULL, replaced_by = NULL,
               updated_at = clock_timestamp()"#,
        workspace.as_uuid(),
        paths,
        contents,
        written.live,
        written.by_operator
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(paths.is_empty() || done.rows_affected() > 0)
}

/// Takes a file away, or everything in a folder.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn delete(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    path: &str,
) -> Result<(), Error> {
    sqlx::query!(
        r#"DELETE FROM provisioner.files
           WHERE workspace_id = $1 AND (path = $2 OR starts_with(path, $2 || '/'))"#,
        workspace.as_uuid(),
        path
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}
