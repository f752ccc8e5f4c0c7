//! Reads workspaces as people and peers see them.

use candor_kernel::{Error, TurnProgress, WorkspaceId};
use candor_process::pool::store_error;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;

/// Everything shown about a workspace.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Shown {
    pub id: uuid::Uuid,
    pub name: String,
    pub role: Option<String>,
    pub tier: i32,
    pub status: String,
    pub url: String,
    pub parent_id: Option<uuid::Uuid>,
    /// JSON text as Postgres prints it.
    pub agent_card: Option<String>,
    pub max_concurrent_tasks: i32,
    pub runtime: String,
    pub workspace_dir: Option<String>,
    pub budget_limit: Option<i64>,
    pub last_outbound_at: Option<DateTime<Utc>>,
    pub created_at: Option<DateTime<Utc>>,
    pub reachable: bool,
    pub unreachable_reason: Option<String>,
    pub delivery_mode: String,
    pub x: f64,
    pub y: f64,
    pub collapsed: bool,
    pub active_tasks: i32,
    pub uptime_seconds: i32,
    pub last_error_rate: f64,
    pub last_sample_error: String,
    pub current_task: String,
    /// US cents of the running UTC month; what was spent in an older one is over.
    pub monthly_spend: i64,
    pub runtime_state: String,
    pub runtime_metadata: Option<serde_json::Value>,
    pub turn_progress: Option<Json<TurnProgress>>,
    pub causes: serde_json::Value,
    pub epoch: i64,
    pub fence_epoch: i64,
    pub state_version: i64,
    pub full_beat_seen: bool,
    pub last_heartbeat_at: Option<DateTime<Utc>>,
    pub lease_until: Option<DateTime<Utc>>,
    /// Postgres' clock when the row was read.
    pub read_at: DateTime<Utc>,
}

/// Workspaces read in one go, at most.
pub const PAGE: i64 = 1000;

/// Which workspaces to show.
#[derive(Debug, Clone, Copy)]
pub enum Which {
    /// One, even if it was removed.
    One(WorkspaceId),
    /// Those that are not removed, oldest first, after this one of another page.
    After(Option<(DateTime<Utc>, uuid::Uuid)>),
}

/// Workspaces as people see them, a page at most.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn show(connection: &mut PgConnection, which: Which) -> Result<Vec<Shown>, Error> {
    let (id, after) = match which {
        Which::One(id) => (Some(id.as_uuid()), None),
        Which::After(after) => (None, after),
    };
    sqlx::query_as!(
        Shown,
        r#"SELECT w.id, w.name, nullif(w.role, '') AS role, coalesce(w.tier, 1) AS "tier!",
                  coalesce(w.status::text, 'provisioning') AS "status!",
                  coalesce(w.url, '') AS "url!", w.parent_id, w.agent_card::text AS agent_card,
                  w.max_concurrent_tasks, coalesce(w.runtime, 'langgraph') AS "runtime!",
                  w.workspace_dir, w.budget_limit, w.last_outbound_at, w.created_at,
                  w.reachable, w.unreachable_reason, w.delivery_mode,
                  coalesce(l.x, 0) AS "x!", coalesce(l.y, 0) AS "y!",
                  coalesce(l.collapsed, false) AS "collapsed!",
                  v.active_tasks, v.uptime_seconds, v.last_error_rate, v.last_sample_error,
                  v.current_task,
                  CASE WHEN v.spend_month < date_trunc('month', now() AT TIME ZONE 'UTC')::date
                       THEN 0 ELSE v.monthly_spend END AS "monthly_spend!",
                  v.runtime_state, v.runtime_metadata, v.causes,
                  v.turn_progress AS "turn_progress: Json<TurnProgress>",
                  v.epoch, v.fence_epoch, v.state_version, v.full_beat_seen, v.last_heartbeat_at,
                  v.lease_until, now() AS "read_at!"
           FROM public.workspaces w
           JOIN registry.workspace_vitals v ON v.id = w.id
           LEFT JOIN public.canvas_layouts l ON l.workspace_id = w.id
           WHERE CASE WHEN $1::uuid IS NOT NULL THEN w.id = $1
                      ELSE w.status IS DISTINCT FROM 'removed'
                        AND ($2::timestamptz IS NULL OR (w.created_at, w.id) > ($2, $3::uuid)) END
           ORDER BY w.created_at, w.id LIMIT $4"#,
        id,
        after.map(|(at, _)| at),
        after.map(|(_, id)| id),
        PAGE
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// Limit and this month's spend, US cents; none for a removed or unknown workspace.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn budget(
    connection: &mut PgConnection,
    id: WorkspaceId,
) -> Result<Option<(Option<i64>, i64)>, Error> {
    let row = sqlx::query!(
        r#"SELECT w.budget_limit,
                  CASE WHEN v.spend_month < date_trunc('month', now() AT TIME ZONE 'UTC')::date
                       THEN 0 ELSE v.monthly_spend END AS "monthly_spend!"
           FROM public.workspaces w JOIN registry.workspace_vitals v ON v.id = w.id
           WHERE w.id = $1 AND w.status IS DISTINCT FROM 'removed'"#,
        id.as_uuid()
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)?;
    Ok(row.map(|row| (row.budget_limit, row.monthly_spend)))
}

/// Sets or clears the limit; false when there is no such workspace.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn set_budget(
    connection: &mut PgConnection,
    id: WorkspaceId,
    limit: Option<i64>,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        r#"UPDATE public.workspaces SET budget_limit = $2, updated_at = now()
           WHERE id = $1 AND status IS DISTINCT FROM 'removed'"#,
        id.as_uuid(),
        limit
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(done.rows_affected() == 1)
}

/// What a register stores beside the decision.
#[derive(Debug, Clone)]
pub struct Endpoint<'a> {
    /// Where the agent listens; empty when it has no inbound address.
    pub url: &'a str,
    /// JSON text.
    pub agent_card: &'a str,
    /// `push` or `poll`.
    pub delivery_mode: &'a str,
    /// Why the address cannot be dialled, if it cannot.
    pub unreachable_reason: Option<&'a str>,
}

/// Stores where an agent is and what it says it can do.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn set_endpoint(
    connection: &mut PgConnection,
    id: WorkspaceId,
    endpoint: &Endpoint<'_>,
) -> Result<(), Error> {
    sqlx::query!(
        r#"UPDATE public.workspaces
           SET url = $2, agent_card = ($3::text)::jsonb, delivery_mode = $4,
               reachable = $5::text IS NULL, unreachable_reason = $5, updated_at = now()
           WHERE id = $1"#,
        id.as_uuid(),
        endpoint.url,
        endpoint.agent_card,
        endpoint.delivery_mode,
        endpoint.unreachable_reason
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// Renews the lease of a workspace that has beaten before; one that never beat
/// has none (design: section 6).
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn renew_existing_lease(
    connection: &mut PgConnection,
    id: WorkspaceId,
    ttl_seconds: f64,
) -> Result<(), Error> {
    sqlx::query!(
        r#"UPDATE registry.workspace_vitals
           SET lease_until = greatest(lease_until, now() + make_interval(secs => $2))
           WHERE id = $1 AND lease_until IS NOT NULL"#,
        id.as_uuid(),
        ttl_seconds
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// Replaces the card; the stored text is what Postgres prints.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn set_card(
    connection: &mut PgConnection,
    id: WorkspaceId,
    agent_card: &str,
) -> Result<(), Error> {
    sqlx::query!(
        r#"UPDATE public.workspaces SET agent_card = ($2::text)::jsonb, updated_at = now()
           WHERE id = $1"#,
        id.as_uuid(),
        agent_card
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}
