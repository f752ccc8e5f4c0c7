//! How far instances are. Whoever holds a row's lease moves it on, and every write but
//! the first says whose lease it counts on and which version it saw.

use std::time::Duration;

use candor_kernel::{Epoch, Error, WorkspaceId};
use candor_process::pool::store_error;
use candor_proto::registry::v1::Placement;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::backend::Remove;
use crate::reconcile::{Desired, Handed, Want};

/// The instance of a workspace, as it is wanted and as far as it is.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Instance {
    pub workspace_id: Uuid,
    pub backend: String,
    pub former_backend: Option<String>,
    pub want: String,
    pub epoch: i64,
    pub version: i64,
    pub reset_session: bool,
    pub template: String,
    pub configured: bool,
    pub wanted_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub handed: String,
    pub called: bool,
    pub settled: bool,
    pub halted: bool,
    pub attempts: i32,
    pub last_error: String,
    pub restarts: Vec<DateTime<Utc>>,
    pub restart_reason: Option<String>,
    /// Postgres' clock when the row was read.
    pub now: DateTime<Utc>,
}

impl Instance {
    /// Which workspace.
    pub fn id(&self) -> WorkspaceId {
        WorkspaceId::from_uuid(self.workspace_id)
    }

    /// What the next step is decided by.
    pub fn desired(&self) -> Desired {
        Desired {
            want: match self.want.as_str() {
                "running" => Want::Running,
                "gone" => Want::Gone(Remove::Configs),
                "purged" => Want::Gone(Remove::Everything),
                _ => Want::Stopped,
            },
            epoch: Epoch(self.epoch),
            handed: match self.handed.as_str() {
                "started" => Handed::Started,
                "verified" => Handed::Verified,
                _ => Handed::Nothing,
            },
        }
    }
}

/// Whose lease a write counts on, and what it saw.
#[derive(Debug, Clone, Copy)]
pub struct Hold {
    /// The workspace.
    pub id: Uuid,
    /// This process.
    pub owner: Uuid,
    /// The placement's version.
    pub version: i64,
}

/// Writes down what is wanted; what is older than what is known changes nothing.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn adopt(
    connection: &mut PgConnection,
    id: WorkspaceId,
    placement: &Placement,
) -> Result<(), Error> {
    sqlx::query!(
        r#"INSERT INTO provisioner.instances AS i
               (workspace_id, backend, want, epoch, version, reset_session, template)
           VALUES ($1, $2, $3, $4, $5, $6, $7)
           ON CONFLICT (workspace_id) DO UPDATE
           SET former_backend = CASE WHEN i.backend <> excluded.backend
                                     THEN coalesce(i.former_backend, i.backend)
                                     ELSE i.former_backend END,
               configured = i.configured AND i.backend = excluded.backend,
               backend = excluded.backend, want = excluded.want, epoch = excluded.epoch,
               version = excluded.version,
               -- What no instance has got yet is not forgotten.
               reset_session = excluded.reset_session OR i.reset_session,
               template = coalesce(nullif(excluded.template, ''), i.template),
               wanted_at = clock_timestamp(),
               handed = CASE WHEN i.epoch = excluded.epoch THEN i.handed ELSE 'nothing' END,
               called = i.called AND i.epoch = excluded.epoch,
               url = CASE WHEN i.epoch = excluded.epoch THEN i.url END,
               settled = false, halted = false, attempts = 0, next_at = clock_timestamp(),
               last_error = CASE WHEN $8 THEN i.last_error ELSE '' END,
               restarts = CASE WHEN $8 OR i.epoch = excluded.epoch THEN i.restarts
                               ELSE '{}' END,
               restart_reason = CASE WHEN i.epoch = excluded.epoch THEN i.restart_reason END
           WHERE i.version < excluded.version"#,
        id.as_uuid(),
        placement.backend,
        placement.want,
        placement.epoch,
        placement.version,
        placement.reset_session,
        placement.template,
        placement.automatic
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// What was found without anybody wanting it is to go.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn adopt_orphan(
    connection: &mut PgConnection,
    id: WorkspaceId,
    backend: &str,
) -> Result<(), Error> {
    sqlx::query!(
        r#"INSERT INTO provisioner.instances (workspace_id, backend, want, epoch, version)
           VALUES ($1, $2, 'gone', 0, 0) ON CONFLICT (workspace_id) DO NOTHING"#,
        id.as_uuid(),
        backend
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// Takes the lease of rows that are due and that nobody holds; their backends are those
/// of this process.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn lease_due(
    connection: &mut PgConnection,
    owner: Uuid,
    backends: &[String],
    lease: Duration,
    most: i64,
) -> Result<Vec<Uuid>, Error> {
    sqlx::query_scalar!(
        r#"UPDATE provisioner.instances
           SET lease_owner = $1, lease_until = now() + make_interval(secs => $3)
           WHERE workspace_id IN (
               SELECT workspace_id FROM provisioner.instances
               WHERE NOT settled AND next_at <= now() AND backend = ANY($2)
                 AND (lease_until IS NULL OR lease_until < now())
               ORDER BY next_at LIMIT $4 FOR UPDATE SKIP LOCKED)
           RETURNING workspace_id"#,
        owner,
        backends,
        lease.as_secs_f64(),
        most
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// Seconds until something is due that nobody holds; none if nothing will be.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn next_due(
    connection: &mut PgConnection,
    backends: &[String],
) -> Result<Option<Duration>, Error> {
    let seconds = sqlx::query_scalar!(
        r#"SELECT extract(epoch FROM min(greatest(next_at, coalesce(lease_until, next_at))) - now())
                  ::double precision AS "seconds?"
           FROM provisioner.instances WHERE NOT settled AND backend = ANY($1)"#,
        backends
    )
    .fetch_one(connection)
    .await
    .map_err(store_error)?;
    Ok(seconds.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, 3600.0))))
}

/// Renews a lease; false if it is another's by now.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn renew(
    connection: &mut PgConnection,
    id: Uuid,
    owner: Uuid,
    lease: Duration,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        r#"UPDATE provisioner.instances SET lease_until = now() + make_interval(secs => $3)
           WHERE workspace_id = $1 AND lease_owner = $2"#,
        id,
        owner,
        lease.as_secs_f64()
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(done.rows_affected() == 1)
}

/// The row, if this process holds its lease.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn held(
    connection: &mut PgConnection,
    id: Uuid,
    owner: Uuid,
) -> Result<Option<Instance>, Error> {
    sqlx::query_as!(
        Instance,
        r#"SELECT workspace_id, backend, former_backend, want, epoch, version, reset_session,
                  template, configured, wanted_at, started_at, handed, called, settled, halted, attempts,
                  last_error, restarts, restart_reason, now() AS "now!"
           FROM provisioner.instances
           WHERE workspace_id = $1 AND lease_owner = $2 AND lease_until > now()"#,
        id,
        owner
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)
}

/// Rows in the order of ids, a page at most: workspace, backend, wish, epoch, settled.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn page(
    connection: &mut PgConnection,
    after: Option<Uuid>,
    most: i64,
) -> Result<Vec<Instance>, Error> {
    sqlx::query_as!(
        Instance,
        r#"SELECT workspace_id, backend, former_backend, want, epoch, version, reset_session,
                  template, configured, wanted_at, started_at, handed, called, settled, halted, attempts,
                  last_error, restarts, restart_reason, now() AS "now!"
           FROM provisioner.instances
           WHERE $1::uuid IS NULL OR workspace_id > $1 ORDER BY workspace_id LIMIT $2"#,
        after,
        most
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// Rows that are to be looked at now.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn wake(connection: &mut PgConnection, ids: &[Uuid]) -> Result<(), Error> {
    sqlx::query!(
        r#"UPDATE provisioner.instances SET settled = false, next_at = now()
           WHERE workspace_id = ANY($1) AND NOT halted AND (settled OR next_at > now())"#,
        ids
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// Gives a lease back; the row is due again after `pause`.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn release(
    connection: &mut PgConnection,
    id: Uuid,
    owner: Uuid,
    pause: Duration,
) -> Result<(), Error> {
    sqlx::query!(
        r#"UPDATE provisioner.instances
           SET lease_owner = NULL, lease_until = NULL,
               next_at = now() + make_interval(secs => $3)
           WHERE workspace_id = $1 AND lease_owner = $2"#,
        id,
        owner,
        pause.as_secs_f64()
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// The workspace's instance was heard: a row that waits for that is due. One that says
/// that it is unwell is due for a restart if its owner wants that.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn heard(connection: &mut PgConnection, id: Uuid, unwell: bool) -> Result<(), Error> {
    sqlx::query!(
        r#"UPDATE provisioner.instances i SET settled = false, next_at = now()
           WHERE workspace_id = $1 AND want = 'running'
             AND (NOT settled OR halted AND NOT called OR $2 AND EXISTS (
                 SELECT 1 FROM provisioner.policies p
                 WHERE p.workspace_id = i.workspace_id AND p.restart_on_wedge))"#,
        id,
        unwell
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// A restart of an instance that says that it is wedged, if its owner wants that; false
/// if not, or if nothing more is tried.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn ask_for_wedge(
    connection: &mut PgConnection,
    id: Uuid,
    reason: &str,
) -> Result<bool, Error> {
    let asked = sqlx::query!(
        r#"UPDATE provisioner.instances i
           SET restart_reason = $2, settled = false, next_at = least(next_at, now())
           WHERE workspace_id = $1 AND want = 'running' AND called AND NOT halted
             AND restart_reason IS NULL AND EXISTS (
                 SELECT 1 FROM provisioner.policies p
                 WHERE p.workspace_id = i.workspace_id AND p.restart_on_wedge)"#,
        id,
        reason
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(asked.rows_affected() == 1)
}

/// Rows that were given up and whose instances have called all the same, by what the
/// registry says: they are instances like others again.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn called_late(
    connection: &mut PgConnection,
    ids: &[Uuid],
    epochs: &[i64],
) -> Result<u64, Error> {
    let found = sqlx::query!(
        r#"UPDATE provisioner.instances i SET settled = false, next_at = now()
           FROM unnest($1::uuid[], $2::bigint[]) AS seen (id, epoch)
           WHERE i.workspace_id = seen.id AND i.epoch = seen.epoch AND i.want = 'running'
             AND i.halted AND NOT i.called"#,
        ids,
        epochs
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(found.rows_affected())
}
