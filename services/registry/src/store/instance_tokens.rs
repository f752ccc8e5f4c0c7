//! The life of an instance's token: pending, active, retired (design section 4).

use candor_kernel::token::{TokenHash, TokenText};
use candor_kernel::{Error, WorkspaceId};
use candor_process::pool::store_error;
use sqlx::PgConnection;

use super::tokens::{self, StoredRow};

/// The fence of a workspace that is not removed, held until the transaction ends.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn fence(connection: &mut PgConnection, id: WorkspaceId) -> Result<Option<i64>, Error> {
    sqlx::query_scalar!(
        r#"SELECT v.fence_epoch FROM public.workspaces w
           JOIN registry.workspace_vitals v ON v.id = w.id
           WHERE w.id = $1 AND w.status IS DISTINCT FROM 'removed'
           FOR NO KEY UPDATE OF w, v"#,
        id.as_uuid()
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)
}

/// Stores the token of an instance that has not called yet, in place of one before it
/// that never will.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn replace_pending(
    connection: &mut PgConnection,
    id: WorkspaceId,
    token: &TokenText,
    epoch: i64,
) -> Result<(), Error> {
    sqlx::query!(
        r#"UPDATE public.workspace_auth_tokens SET revoked_at = now()
           WHERE workspace_id = $1 AND state = 'pending' AND revoked_at IS NULL"#,
        id.as_uuid()
    )
    .execute(&mut *connection)
    .await
    .map_err(store_error)?;
    sqlx::query!(
        r#"INSERT INTO public.workspace_auth_tokens
               (id, workspace_id, token_hash, prefix, kind, state, epoch, created_at)
           VALUES ($1, $2, $3, $4, 'instance', 'pending', $5, clock_timestamp())"#,
        uuid::Uuid::now_v7(),
        id.as_uuid(),
        &token.hash().0[..],
        token.prefix(),
        epoch
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// Ends a pending token; false when there is none for this epoch.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn withdraw(
    connection: &mut PgConnection,
    id: WorkspaceId,
    epoch: i64,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        r#"UPDATE public.workspace_auth_tokens SET revoked_at = now()
           WHERE workspace_id = $1 AND epoch = $2 AND state = 'pending' AND revoked_at IS NULL"#,
        id.as_uuid(),
        epoch
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(done.rows_affected() == 1)
}

/// What a credential proves. The first authenticated call with the token of a new
/// instance makes that instance the current one.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn proved(
    connection: &mut PgConnection,
    hash: &TokenHash,
) -> Result<Option<StoredRow>, Error> {
    let row = tokens::by_hash(connection, hash).await?;
    if !row.as_ref().is_some_and(is_first_use) {
        return Ok(row);
    }
    promote(connection, hash).await?;
    // As it is now, whoever was faster.
    tokens::by_hash(connection, hash).await
}

/// Pending, valid, and of the instance that the fence was raised for.
fn is_first_use(row: &StoredRow) -> bool {
    row.state == "pending"
        && row.revoked_at.is_none()
        && !row.removed
        && row.epoch == Some(row.fence_epoch)
}

/// The first use of a pending token: it is active from here on, the workspace's epoch is
/// its own, and the tokens of other instances are retired. All of it or nothing; false
/// when somebody else was faster, or the fence has moved on.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
async fn promote(connection: &mut PgConnection, hash: &TokenHash) -> Result<bool, Error> {
    let promoted = sqlx::query_scalar!(
        r#"WITH held AS MATERIALIZED (
               SELECT v.id, v.fence_epoch FROM registry.workspace_vitals v
               WHERE v.id = (SELECT workspace_id FROM public.workspace_auth_tokens
                             WHERE token_hash = $1)
               FOR NO KEY UPDATE),
           used AS (
               UPDATE public.workspace_auth_tokens t SET state = 'active'
               FROM held WHERE t.token_hash = $1 AND t.workspace_id = held.id
                 AND t.state = 'pending' AND t.revoked_at IS NULL
                 AND t.epoch = held.fence_epoch
               RETURNING t.id, t.workspace_id, t.epoch),
           others AS (
               UPDATE public.workspace_auth_tokens t SET state = 'retired', retired_at = now()
               FROM used WHERE t.workspace_id = used.workspace_id AND t.id <> used.id
                 AND t.kind = 'instance' AND t.state = 'active' AND t.revoked_at IS NULL),
           moved AS (
               UPDATE registry.workspace_vitals v
               SET epoch = greatest(v.epoch, used.epoch), state_version = v.state_version + 1
               FROM used WHERE v.id = used.workspace_id)
           SELECT count(*) AS "count!" FROM used"#,
        &hash.0[..]
    )
    .fetch_one(connection)
    .await
    .map_err(store_error)?;
    Ok(promoted == 1)
}
