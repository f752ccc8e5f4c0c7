//! Stored secrets, sealed as they are: of one workspace, and the global ones.

use candor_kernel::{Error, WorkspaceId};
use candor_process::pool::store_error;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A secret's name and times.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Name {
    pub key: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A secret as it is stored.
#[derive(Clone)]
#[allow(missing_docs)]
pub struct Sealed {
    pub key: String,
    pub value: Vec<u8>,
    pub version: i32,
}

/// How many there are beside one, and how large.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct Amount {
    pub secrets: i64,
    pub bytes: i64,
}

/// Whether the workspace is there and was not removed; it stays so until the commit, and
/// nobody else changes what belongs to it.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn hold_workspace(connection: &mut PgConnection, id: WorkspaceId) -> Result<bool, Error> {
    let lives = sqlx::query_scalar!(
        r#"SELECT status IS DISTINCT FROM 'removed' AS "lives!"
           FROM public.workspaces WHERE id = $1 FOR NO KEY UPDATE"#,
        id.as_uuid()
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)?;
    Ok(lives.unwrap_or_default())
}

/// Whether the workspace is there and was not removed.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn lives(connection: &mut PgConnection, id: WorkspaceId) -> Result<bool, Error> {
    let lives = sqlx::query_scalar!(
        r#"SELECT status IS DISTINCT FROM 'removed' AS "lives!"
           FROM public.workspaces WHERE id = $1"#,
        id.as_uuid()
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)?;
    Ok(lives.unwrap_or_default())
}

/// Nobody else changes global secrets until the commit.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn hold_globals(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('candor.global_secrets', 0))")
        .fetch_one(connection)
        .await
        .map_err(store_error)?;
    Ok(())
}

/// Names of a workspace's secrets, in their order.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn names(connection: &mut PgConnection, id: WorkspaceId) -> Result<Vec<Name>, Error> {
    sqlx::query_as!(
        Name,
        r#"SELECT key, coalesce(created_at, 'epoch') AS "created_at!",
                  coalesce(updated_at, 'epoch') AS "updated_at!"
           FROM public.workspace_secrets WHERE workspace_id = $1 ORDER BY key"#,
        id.as_uuid()
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// Names of the global secrets, in their order.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn global_names(connection: &mut PgConnection) -> Result<Vec<Name>, Error> {
    sqlx::query_as!(
        Name,
        r#"SELECT key, coalesce(created_at, 'epoch') AS "created_at!",
                  coalesce(updated_at, 'epoch') AS "updated_at!"
           FROM public.global_secrets ORDER BY key"#
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// A workspace's secrets.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn of(connection: &mut PgConnection, id: WorkspaceId) -> Result<Vec<Sealed>, Error> {
    sqlx::query_as!(
        Sealed,
        r#"SELECT key, encrypted_value AS value, encryption_version AS version
           FROM public.workspace_secrets WHERE workspace_id = $1 ORDER BY key"#,
        id.as_uuid()
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// One of them.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn one(
    connection: &mut PgConnection,
    id: WorkspaceId,
    key: &str,
) -> Result<Option<Sealed>, Error> {
    sqlx::query_as!(
        Sealed,
        r#"SELECT key, encrypted_value AS value, encryption_version AS version
           FROM public.workspace_secrets WHERE workspace_id = $1 AND key = $2"#,
        id.as_uuid(),
        key
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)
}

/// The global secrets.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn globals(connection: &mut PgConnection) -> Result<Vec<Sealed>, Error> {
    sqlx::query_as!(
        Sealed,
        r#"SELECT key, encrypted_value AS value, encryption_version AS version
           FROM public.global_secrets ORDER BY key"#
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// What a workspace has beside `key`.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn beside(
    connection: &mut PgConnection,
    id: WorkspaceId,
    key: &str,
) -> Result<Amount, Error> {
    sqlx::query_as!(
        Amount,
        r#"SELECT count(*) AS "secrets!",
                  coalesce(sum(octet_length(encrypted_value)), 0)::bigint AS "bytes!"
           FROM public.workspace_secrets WHERE workspace_id = $1 AND key <> $2"#,
        id.as_uuid(),
        key
    )
    .fetch_one(connection)
    .await
    .map_err(store_error)
}

/// The global ones beside `key`.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn globals_beside(connection: &mut PgConnection, key: &str) -> Result<Amount, Error> {
    sqlx::query_as!(
        Amount,
        r#"SELECT count(*) AS "secrets!",
                  coalesce(sum(octet_length(encrypted_value)), 0)::bigint AS "bytes!"
           FROM public.global_secrets WHERE key <> $1"#,
        key
    )
    .fetch_one(connection)
    .await
    .map_err(store_error)
}

/// Stores one of a workspace that is held.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn put(
    connection: &mut PgConnection,
    id: WorkspaceId,
    secret: &Sealed,
) -> Result<(), Error> {
    sqlx::query!(
        r#"INSERT INTO public.workspace_secrets
               (workspace_id, key, encrypted_value, encryption_version)
           VALUES ($1, $2, $3, $4)
           ON CONFLICT (workspace_id, key) DO UPDATE
           SET encrypted_value = excluded.encrypted_value,
               encryption_version = excluded.encryption_version, updated_at = now()"#,
        id.as_uuid(),
        secret.key,
        secret.value,
        secret.version
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// Stores a global one.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn put_global(connection: &mut PgConnection, secret: &Sealed) -> Result<(), Error> {
    sqlx::query!(
        r#"INSERT INTO public.global_secrets (key, encrypted_value, encryption_version)
           VALUES ($1, $2, $3)
           ON CONFLICT (key) DO UPDATE
           SET encrypted_value = excluded.encrypted_value,
               encryption_version = excluded.encryption_version, updated_at = now()"#,
        secret.key,
        secret.value,
        secret.version
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// Takes one away: whether there was one.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn delete(
    connection: &mut PgConnection,
    id: WorkspaceId,
    key: &str,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "DELETE FROM public.workspace_secrets WHERE workspace_id = $1 AND key = $2",
        id.as_uuid(),
        key
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(done.rows_affected() > 0)
}

/// Takes a global one away: whether there was one.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn delete_global(connection: &mut PgConnection, key: &str) -> Result<bool, Error> {
    let done = sqlx::query!("DELETE FROM public.global_secrets WHERE key = $1", key)
        .execute(connection)
        .await
        .map_err(store_error)?;
    Ok(done.rows_affected() > 0)
}
