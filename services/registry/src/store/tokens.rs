//! Credentials: hashes only. Triggers raise `auth_version` whenever one is
//! issued, changed or revoked, in the same transaction.

use candor_kernel::token::{TokenHash, TokenKind, TokenText};
use candor_kernel::{Error, TokenId, WorkspaceId};
use candor_process::pool::store_error;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Live tokens a workspace may have (contract/auth.md).
pub const MOST_LIVE_TOKENS: i64 = 50;

/// Stores a token that was just minted.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn insert(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    token: &TokenText,
    epoch: Option<i64>,
) -> Result<TokenId, Error> {
    let kind = if epoch.is_some() {
        TokenKind::Instance
    } else {
        TokenKind::Manual
    };
    let id = uuid::Uuid::now_v7();
    sqlx::query!(
        r#"INSERT INTO public.workspace_auth_tokens
               (id, workspace_id, token_hash, prefix, kind, epoch, created_at)
           VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp())"#,
        id,
        workspace.as_uuid(),
        &token.hash().0[..],
        token.prefix(),
        kind.label(),
        epoch
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(TokenId::from_uuid(id))
}

/// How many credentials of a workspace still authenticate.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn count_live(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
) -> Result<i64, Error> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM public.workspace_auth_tokens
           WHERE workspace_id = $1 AND revoked_at IS NULL AND state <> 'retired'"#,
        workspace.as_uuid()
    )
    .fetch_one(connection)
    .await
    .map_err(store_error)
}

/// A token as lists show it.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct ListedToken {
    pub id: uuid::Uuid,
    pub prefix: String,
    pub created_at: DateTime<Utc>,
    pub last_used_at: Option<DateTime<Utc>>,
    pub kind: String,
    pub state: String,
}

/// Live tokens, newest first.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn list(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    limit: i64,
    offset: i64,
) -> Result<Vec<ListedToken>, Error> {
    sqlx::query_as!(
        ListedToken,
        r#"SELECT id, prefix, created_at, last_used_at, kind, state
           FROM public.workspace_auth_tokens
           WHERE workspace_id = $1 AND revoked_at IS NULL
           ORDER BY created_at DESC, id DESC LIMIT $2 OFFSET $3"#,
        workspace.as_uuid(),
        limit,
        offset
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// Ends a token; false when it is not there or ended already.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn revoke(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    token: TokenId,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        r#"UPDATE public.workspace_auth_tokens SET revoked_at = now()
           WHERE id = $1 AND workspace_id = $2 AND revoked_at IS NULL"#,
        token.as_uuid(),
        workspace.as_uuid()
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(done.rows_affected() == 1)
}

/// What a workspace credential proves.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct StoredRow {
    pub workspace_id: uuid::Uuid,
    pub kind: String,
    pub state: String,
    pub epoch: Option<i64>,
    pub fence_epoch: i64,
    pub auth_version: i64,
    pub removed: bool,
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Looks a credential up by hash, revoked ones included, and notes that it was
/// used: to the minute, which is what lists are read for, and a write a look-up
/// would be too many (flaw 94).
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn by_hash(
    connection: &mut PgConnection,
    hash: &TokenHash,
) -> Result<Option<StoredRow>, Error> {
    sqlx::query_as!(
        StoredRow,
        r#"WITH used AS (
               UPDATE public.workspace_auth_tokens SET last_used_at = now()
               WHERE token_hash = $1 AND revoked_at IS NULL
                 AND coalesce(last_used_at < now() - interval '1 minute', true))
           SELECT t.workspace_id, t.kind, t.state, t.epoch, v.fence_epoch, v.auth_version,
                  (w.status = 'removed') IS TRUE AS "removed!", t.revoked_at
           FROM public.workspace_auth_tokens t
           JOIN public.workspaces w ON w.id = t.workspace_id
           JOIN registry.workspace_vitals v ON v.id = t.workspace_id
           WHERE t.token_hash = $1"#,
        &hash.0[..]
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)
}

/// Looks an organisation token up by hash; revoked ones prove nothing.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn org_by_hash(
    connection: &mut PgConnection,
    hash: &TokenHash,
) -> Result<Option<(uuid::Uuid, String)>, Error> {
    let row = sqlx::query!(
        r#"SELECT id, prefix FROM public.org_api_tokens
           WHERE token_hash = $1 AND revoked_at IS NULL"#,
        &hash.0[..]
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)?;
    Ok(row.map(|row| (row.id, row.prefix)))
}

/// Where a workspace stands as a principal.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct StandingRow {
    pub removed: bool,
    pub purged: bool,
    pub has_live_tokens: bool,
    pub auth_version: i64,
    pub fence_epoch: i64,
}

/// Where a workspace stands; purged ids stand as removed; none for ids that
/// never existed.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn standing(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
) -> Result<Option<StandingRow>, Error> {
    sqlx::query_as!(
        StandingRow,
        r#"SELECT (w.status = 'removed') IS TRUE AS "removed!", false AS "purged!",
                  EXISTS (SELECT 1 FROM public.workspace_auth_tokens t
                          WHERE t.workspace_id = w.id AND t.revoked_at IS NULL
                            AND t.state <> 'retired') AS "has_live_tokens!",
                  v.auth_version AS "auth_version!", v.fence_epoch AS "fence_epoch!"
           FROM public.workspaces w JOIN registry.workspace_vitals v ON v.id = w.id
           WHERE w.id = $1
           UNION ALL
           SELECT true, true, false, 0, 0 FROM registry.tombstones WHERE id = $1
           LIMIT 1"#,
        workspace.as_uuid()
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)
}

/// Hashes of a workspace's live tokens, the newest ones.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn live_hashes(
    connection: &mut PgConnection,
    id: WorkspaceId,
) -> Result<Vec<TokenHash>, Error> {
    let hashes = sqlx::query_scalar!(
        r#"SELECT token_hash FROM public.workspace_auth_tokens
           WHERE workspace_id = $1 AND revoked_at IS NULL AND state IN ('pending', 'active')
           ORDER BY created_at DESC LIMIT 4"#,
        id.as_uuid()
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)?;
    let hashes = hashes.into_iter().filter_map(|hash| hash.try_into().ok());
    Ok(hashes.map(TokenHash).collect())
}
