//! What is wanted of instances, for whoever makes them; written in the transaction of
//! the decision that wants it.

use candor_kernel::{Error, WorkspaceId};
use candor_process::pool::store_error;
use sqlx::PgConnection;

/// Placements that are read at once, at most.
pub const MOST: i64 = 1000;

/// What is wanted of a workspace's instance.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Placement {
    pub workspace_id: uuid::Uuid,
    pub backend: String,
    pub want: String,
    pub epoch: i64,
    pub version: i64,
    pub automatic: bool,
    pub reset_session: bool,
    pub template: String,
    pub apply_template: bool,
}

/// A new instance that is wanted.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct Wanted<'a> {
    pub id: WorkspaceId,
    pub backend: &'a str,
    pub epoch: i64,
    pub automatic: bool,
    pub reset_session: bool,
    /// The configuration is taken from here; none: it stays.
    pub template: Option<&'a str>,
    /// As the workspace is created with; none: it stays.
    pub model: Option<&'a str>,
}

/// What becomes of an instance that is not wanted any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It stops; what it keeps stays.
    Stopped,
    /// It goes with its configuration.
    Gone,
    /// It goes with everything.
    Purged,
}

impl Ending {
    const fn label(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Gone => "gone",
            Self::Purged => "purged",
        }
    }
}

/// Notes who can run what, for so long.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn announce(
    connection: &mut PgConnection,
    name: &str,
    runtimes: &[String],
    ttl_seconds: f64,
) -> Result<(), Error> {
    sqlx::query!(
        r#"INSERT INTO registry.backends (name, runtimes, announced_until)
           VALUES ($1, $2, now() + make_interval(secs => $3))
           ON CONFLICT (name) DO UPDATE
           SET runtimes = excluded.runtimes, announced_until = excluded.announced_until"#,
        name,
        runtimes,
        ttl_seconds
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// Who can run this runtime now.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn backend_for(
    connection: &mut PgConnection,
    runtime: &str,
) -> Result<Option<String>, Error> {
    sqlx::query_scalar!(
        r#"SELECT name FROM registry.backends
           WHERE announced_until > now() AND $1 = ANY(runtimes) ORDER BY name LIMIT 1"#,
        runtime
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)
}

/// A new instance is wanted.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn want_running(connection: &mut PgConnection, wanted: &Wanted<'_>) -> Result<(), Error> {
    sqlx::query!(
        r#"INSERT INTO registry.placements
               (workspace_id, backend, want, epoch, automatic, reset_session, template, model,
                apply_template)
           VALUES ($1, $2, 'running', $3, $4, $5, coalesce($6, ''), coalesce($7, ''), true)
           ON CONFLICT (workspace_id) DO UPDATE
           SET backend = excluded.backend, want = 'running', epoch = excluded.epoch,
               version = registry.placements.version + 1, automatic = excluded.automatic,
               reset_session = excluded.reset_session,
               template = coalesce($6, registry.placements.template),
               model = coalesce($7, registry.placements.model),
               apply_template = $6::text IS NOT NULL,
               url = NULL, taken = false, changed_at = clock_timestamp()"#,
        wanted.id.as_uuid(),
        wanted.backend,
        wanted.epoch,
        wanted.automatic,
        wanted.reset_session,
        wanted.template,
        wanted.model
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// The instance of before is wanted again: its stop did not succeed.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn keep_running(connection: &mut PgConnection, id: WorkspaceId) -> Result<(), Error> {
    sqlx::query!(
        r#"UPDATE registry.placements
           SET want = 'running', version = version + 1, taken = false,
               changed_at = clock_timestamp()
           WHERE workspace_id = $1 AND want = 'stopped'"#,
        id.as_uuid()
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// Instances of these workspaces are not wanted any more; those that never had one are
/// left out.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn end(
    connection: &mut PgConnection,
    ids: &[uuid::Uuid],
    ending: Ending,
) -> Result<(), Error> {
    sqlx::query!(
        r#"UPDATE registry.placements
           SET want = $2, version = version + 1, taken = false, changed_at = clock_timestamp()
           WHERE workspace_id = ANY($1) AND want <> 'purged' AND want <> $2"#,
        ids,
        ending.label()
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// Of a workspace and all that was ever below it, those whose instance is not wanted any
/// more because they were removed; cycles of an older platform end the walk.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn ended_below(
    connection: &mut PgConnection,
    id: WorkspaceId,
) -> Result<Vec<uuid::Uuid>, Error> {
    sqlx::query_scalar!(
        r#"WITH RECURSIVE down (workspace_id) AS (
               SELECT $1::uuid
               UNION
               SELECT w.id FROM public.workspaces w JOIN down d ON w.parent_id = d.workspace_id)
           SELECT p.workspace_id FROM registry.placements p JOIN down USING (workspace_id)
           WHERE p.want IN ('gone', 'purged') ORDER BY p.workspace_id"#,
        id.as_uuid()
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// Whether a workspace that had instances was purged.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn is_purged(connection: &mut PgConnection, id: WorkspaceId) -> Result<bool, Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM registry.placements
                          WHERE workspace_id = $1 AND want = 'purged') AS "purged!""#,
        id.as_uuid()
    )
    .fetch_one(connection)
    .await
    .map_err(store_error)
}

/// Whether a backend was ever to run it.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn is_placed(connection: &mut PgConnection, id: WorkspaceId) -> Result<bool, Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM registry.placements WHERE workspace_id = $1) AS "placed!""#,
        id.as_uuid()
    )
    .fetch_one(connection)
    .await
    .map_err(store_error)
}

/// What nobody has taken over yet, oldest change first.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn waiting(connection: &mut PgConnection, limit: i64) -> Result<Vec<Placement>, Error> {
    sqlx::query_as!(
        Placement,
        r#"SELECT workspace_id, backend, want, epoch, version, automatic, reset_session, template,
                  apply_template
           FROM registry.placements WHERE NOT taken ORDER BY changed_at LIMIT $1"#,
        limit
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// A provisioner has written this version down.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn take(
    connection: &mut PgConnection,
    id: WorkspaceId,
    version: i64,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE registry.placements SET taken = true WHERE workspace_id = $1 AND version = $2",
        id.as_uuid(),
        version
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// Where the instance of this epoch is, as its backend knows it; false if another one is
/// wanted by now.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn set_url(
    connection: &mut PgConnection,
    id: WorkspaceId,
    epoch: i64,
    url: &str,
) -> Result<bool, Error> {
    let kept = sqlx::query!(
        r#"UPDATE registry.placements SET url = $3
           WHERE workspace_id = $1 AND epoch = $2 AND want = 'running'"#,
        id.as_uuid(),
        epoch,
        url
    )
    .execute(&mut *connection)
    .await
    .map_err(store_error)?;
    if kept.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query!(
        r#"UPDATE public.workspaces SET url = $2, reachable = true, unreachable_reason = NULL
           WHERE id = $1 AND status NOT IN ('removed', 'paused', 'hibernated')"#,
        id.as_uuid(),
        url
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(true)
}

/// Where the platform reaches the workspace's instance, whatever the instance says.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn url(connection: &mut PgConnection, id: WorkspaceId) -> Result<Option<String>, Error> {
    let url = sqlx::query_scalar!(
        r#"SELECT p.url FROM registry.placements p
           JOIN registry.workspace_vitals v ON v.id = p.workspace_id
           WHERE p.workspace_id = $1 AND p.want = 'running' AND p.epoch = v.fence_epoch"#,
        id.as_uuid()
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)?;
    Ok(url.flatten())
}
