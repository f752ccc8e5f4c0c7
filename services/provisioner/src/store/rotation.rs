//! Sealing anew, a page at a time. A secret that somebody changed meanwhile is left as it
//! is: it was sealed with the key of now.

use candor_kernel::Error;
use candor_process::pool::store_error;
use sqlx::PgConnection;
use uuid::Uuid;

/// Secrets of one page.
const PAGE: i64 = 100;

/// A secret as it is stored, with its row.
#[derive(Clone)]
#[allow(missing_docs)]
pub struct Stored {
    pub id: Uuid,
    /// None for a global one.
    pub workspace_id: Option<Uuid>,
    pub key: String,
    pub value: Vec<u8>,
    pub version: i32,
}

/// Rows that are to be sealed anew: their ids, what was read, and what is to stand there.
#[derive(Clone, Default)]
#[allow(missing_docs)]
pub struct Resealed {
    pub ids: Vec<Uuid>,
    pub read: Vec<Vec<u8>>,
    pub sealed: Vec<Vec<u8>>,
    pub versions: Vec<i32>,
}

/// The next workspaces' secrets after a row.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn page(connection: &mut PgConnection, after: Uuid) -> Result<Vec<Stored>, Error> {
    sqlx::query_as!(
        Stored,
        r#"SELECT id, workspace_id AS "workspace_id?", key, encrypted_value AS value,
                  encryption_version AS version
           FROM public.workspace_secrets WHERE id > $1 ORDER BY id LIMIT $2"#,
        after,
        PAGE
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// The next global secrets after a row.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn global_page(connection: &mut PgConnection, after: Uuid) -> Result<Vec<Stored>, Error> {
    sqlx::query_as!(
        Stored,
        r#"SELECT id, NULL::uuid AS workspace_id, key, encrypted_value AS value,
                  encryption_version AS version
           FROM public.global_secrets WHERE id > $1 ORDER BY id LIMIT $2"#,
        after,
        PAGE
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// Writes a page of workspaces' secrets: how many were as they had been read.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn write(connection: &mut PgConnection, page: &Resealed) -> Result<u64, Error> {
    let done = sqlx::query!(
        r#"UPDATE public.workspace_secrets s
           SET encrypted_value = n.sealed, encryption_version = n.version
           FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::integer[])
                AS n (id, read, sealed, version)
           WHERE s.id = n.id AND s.encrypted_value = n.read"#,
        &page.ids,
        &page.read,
        &page.sealed,
        &page.versions
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(done.rows_affected())
}

/// Writes a page of global secrets: how many were as they had been read.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn write_global(connection: &mut PgConnection, page: &Resealed) -> Result<u64, Error> {
    let done = sqlx::query!(
        r#"UPDATE public.global_secrets s
           SET encrypted_value = n.sealed, encryption_version = n.version
           FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::integer[])
                AS n (id, read, sealed, version)
           WHERE s.id = n.id AND s.encrypted_value = n.read"#,
        &page.ids,
        &page.read,
        &page.sealed,
        &page.versions
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(done.rows_affected())
}
