//! Loads what a decision depends on.

use candor_kernel::{
    AuthVersion, Causes, Epoch, Error, RuntimeMetadata, RuntimeState, StateVersion, Status,
    WorkspaceId, WorkspaceState,
};
use candor_process::pool::store_error;
use sqlx::PgConnection;

/// A workspace's state with the versions it was read at.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Which workspace.
    pub id: WorkspaceId,
    /// What decisions depend on.
    pub state: WorkspaceState,
    /// Compare this when the decision is written.
    pub state_version: StateVersion,
    /// Compare this when a credential's proof is acted on.
    pub auth_version: AuthVersion,
    /// Shown in event payloads.
    pub name: String,
    /// Shown in event payloads.
    pub tier: i32,
    /// What it works on; a change is told.
    pub current_task: String,
}

struct Row {
    id: uuid::Uuid,
    status: String,
    name: String,
    tier: i32,
    external: bool,
    state_version: i64,
    auth_version: i64,
    epoch: i64,
    fence_epoch: i64,
    causes: serde_json::Value,
    full_beat_seen: bool,
    last_uptime: Option<i32>,
    runtime_state: String,
    runtime_metadata: Option<serde_json::Value>,
    current_task: String,
}

impl TryFrom<Row> for Loaded {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let status: Status = row.status.parse().map_err(Error::internal)?;
        let causes: Causes = serde_json::from_value(row.causes).map_err(Error::internal)?;
        let runtime_metadata: Option<RuntimeMetadata> = row
            .runtime_metadata
            .map(serde_json::from_value)
            .transpose()
            .map_err(Error::internal)?;
        Ok(Self {
            id: WorkspaceId::from_uuid(row.id),
            state: WorkspaceState {
                status,
                epoch: Epoch(row.epoch),
                fence_epoch: Epoch(row.fence_epoch),
                // Alive without a cause is what `online` means, whoever set it.
                causes: if status == Status::Online {
                    Causes::default()
                } else {
                    causes
                },
                full_beat_seen: row.full_beat_seen,
                last_uptime: row.last_uptime,
                runtime_state: RuntimeState(row.runtime_state),
                runtime_metadata,
                external: row.external,
            },
            state_version: StateVersion(row.state_version),
            auth_version: AuthVersion(row.auth_version),
            name: row.name,
            tier: row.tier,
            current_task: row.current_task,
        })
    }
}

/// Loads the states of these workspaces in id order; ids without a row are left
/// out.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer; `INTERNAL` when one of the
/// rows cannot be read.
pub async fn load_many(
    connection: &mut PgConnection,
    ids: &[uuid::Uuid],
) -> Result<Vec<Loaded>, Error> {
    let rows = load_each(connection, ids).await?;
    rows.into_iter().map(|(_, loaded)| loaded).collect()
}

/// As [`load_many`], but a row that cannot be read is that row's matter alone.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn load_each(
    connection: &mut PgConnection,
    ids: &[uuid::Uuid],
) -> Result<Vec<(WorkspaceId, Result<Loaded, Error>)>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT w.id, coalesce(w.status::text, 'provisioning') AS "status!", w.name,
                  coalesce(w.tier, 1) AS "tier!", (w.runtime = 'external') IS TRUE AS "external!",
                  v.state_version, v.auth_version, v.epoch, v.fence_epoch, v.causes,
                  v.full_beat_seen, v.last_uptime, v.runtime_state, v.runtime_metadata,
                  v.current_task
           FROM public.workspaces w JOIN registry.workspace_vitals v ON v.id = w.id
           WHERE w.id = ANY($1) ORDER BY w.id"#,
        ids
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)?;
    Ok(rows
        .into_iter()
        .map(|row| (WorkspaceId::from_uuid(row.id), Loaded::try_from(row)))
        .collect())
}

/// Loads one workspace's state.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn load(connection: &mut PgConnection, id: WorkspaceId) -> Result<Option<Loaded>, Error> {
    Ok(load_many(connection, &[id.as_uuid()]).await?.pop())
}

/// Locks these rows against status changes, in id order, so that no two
/// transactions wait for each other in a circle.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn lock(connection: &mut PgConnection, ids: &[uuid::Uuid]) -> Result<(), Error> {
    sqlx::query!(
        "SELECT id FROM public.workspaces WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE",
        ids
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// True if the id was purged: it answers as removed for ever.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn is_tombstone(connection: &mut PgConnection, id: WorkspaceId) -> Result<bool, Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM registry.tombstones WHERE id = $1) AS "there!""#,
        id.as_uuid()
    )
    .fetch_one(connection)
    .await
    .map_err(store_error)
}

/// Which of these ids were purged.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn tombstones(
    connection: &mut PgConnection,
    ids: &[uuid::Uuid],
) -> Result<Vec<uuid::Uuid>, Error> {
    sqlx::query_scalar!("SELECT id FROM registry.tombstones WHERE id = ANY($1)", ids)
        .fetch_all(connection)
        .await
        .map_err(store_error)
}
