//! Workspaces as whoever makes their instances must know them.

use candor_kernel::{Error, WorkspaceId};
use candor_process::pool::store_error;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Workspaces on one page.
pub const PAGE: i64 = 500;

/// What an instance is made of, and how the workspace is.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Row {
    pub name: String,
    pub role: String,
    pub tier: i32,
    pub runtime: String,
    pub workspace_dir: String,
    pub workspace_access: String,
    pub awareness_namespace: String,
    pub parent_id: Option<uuid::Uuid>,
    pub status: String,
    pub epoch: i64,
    pub fence_epoch: i64,
    pub template: String,
    pub model: String,
    pub causes: serde_json::Value,
    pub active_tasks: i32,
    pub last_heartbeat_at: Option<DateTime<Utc>>,
    pub backend: Option<String>,
}

/// One that has, or had, instances.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Provisioned {
    pub id: uuid::Uuid,
    pub status: String,
    pub epoch: i64,
    pub fence_epoch: i64,
    pub causes: serde_json::Value,
    pub active_tasks: i32,
    pub last_outbound_at: Option<DateTime<Utc>>,
    pub moved: i64,
    pub hibernation_idle_minutes: i32,
    pub uptime_seconds: i32,
}

/// One workspace, removed ones included.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn of(connection: &mut PgConnection, id: WorkspaceId) -> Result<Option<Row>, Error> {
    sqlx::query_as!(
        Row,
        r#"SELECT w.name, coalesce(w.role, '') AS "role!", coalesce(w.tier, 1) AS "tier!",
                  coalesce(w.runtime, 'langgraph') AS "runtime!",
                  coalesce(w.workspace_dir, '') AS "workspace_dir!",
                  w.workspace_access AS "workspace_access!",
                  coalesce(w.awareness_namespace, '') AS "awareness_namespace!", w.parent_id,
                  coalesce(w.status::text, 'provisioning') AS "status!",
                  v.epoch AS "epoch!", v.fence_epoch AS "fence_epoch!",
                  coalesce(p.template, '') AS "template!", coalesce(p.model, '') AS "model!",
                  v.causes AS "causes!", v.active_tasks AS "active_tasks!",
                  v.last_heartbeat_at,
                  (SELECT name FROM registry.backends
                   WHERE announced_until > now() AND coalesce(w.runtime, 'langgraph') = ANY(runtimes)
                   ORDER BY name LIMIT 1) AS backend
           FROM public.workspaces w
           JOIN registry.workspace_vitals v ON v.id = w.id
           LEFT JOIN registry.placements p ON p.workspace_id = w.id
           WHERE w.id = $1"#,
        id.as_uuid()
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)
}

/// Those that have, or had, instances, in the order of ids, a page at most.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn provisioned(
    connection: &mut PgConnection,
    after: Option<uuid::Uuid>,
) -> Result<Vec<Provisioned>, Error> {
    sqlx::query_as!(
        Provisioned,
        r#"SELECT w.id AS "id!", coalesce(w.status::text, 'provisioning') AS "status!",
                  v.epoch AS "epoch!", v.fence_epoch AS "fence_epoch!", v.causes AS "causes!",
                  v.active_tasks AS "active_tasks!", w.last_outbound_at,
                  -- Counters of the agent's own: only whether they change is looked at.
                  ((coalesce((v.turn_progress->>'moved')::numeric, 0)
                    + coalesce((v.turn_progress->>'begun')::numeric, 0))
                    % 1000000000000)::bigint AS "moved!",
                  coalesce(w.hibernation_idle_minutes, 0) AS "hibernation_idle_minutes!",
                  v.uptime_seconds AS "uptime_seconds!"
           FROM registry.placements p
           JOIN public.workspaces w ON w.id = p.workspace_id
           JOIN registry.workspace_vitals v ON v.id = w.id
           WHERE ($1::uuid IS NULL OR w.id > $1)
           ORDER BY w.id LIMIT $2"#,
        after,
        PAGE
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}
