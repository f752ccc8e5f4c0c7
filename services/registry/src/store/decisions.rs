//! Writes a decision by compare-and-set, with its events, in one transaction.

use candor_kernel::{Decision, Error, EventId, WorkspaceId, WorkspaceState};
use candor_process::pool::store_error;
use candor_process::telemetry::propagation::TraceParent;
use sqlx::PgConnection;

use super::state::Loaded;

/// Says which call caused a change; stored with its event rows.
#[derive(Debug, Clone, Default)]
pub struct Cause {
    /// W3C traceparent.
    pub traceparent: Option<TraceParent>,
    /// Shown by `candor explain` beside the rule.
    pub evidence: String,
}

/// Writes the decided state if nobody changed it since it was read.
///
/// False means somebody did: read again and decide again. The caller commits.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn persist(
    connection: &mut PgConnection,
    before: &Loaded,
    decision: &Decision,
    cause: &Cause,
) -> Result<bool, Error> {
    if let Some(next) = &decision.next
        && !write_state(connection, before, next).await?
    {
        return Ok(false);
    }
    let mut first = None;
    for event in &decision.events {
        let id = insert_event(
            connection,
            before.id,
            event.event_type.label(),
            &event.payload,
            cause,
        )
        .await?;
        first.get_or_insert(id);
    }
    if let Some(next) = &decision.next {
        record(connection, before, next, decision.rule.code(), first, cause).await?;
    }
    Ok(true)
}

async fn write_state(
    connection: &mut PgConnection,
    before: &Loaded,
    next: &WorkspaceState,
) -> Result<bool, Error> {
    let id = before.id.as_uuid();
    let moved = next.status != before.state.status;
    // The row of `workspaces` is locked before the one of vitals, as everywhere.
    let there = sqlx::query!(
        r#"UPDATE public.workspaces SET status = ($3::text)::public.workspace_status, updated_at = now()
           WHERE id = $1 AND coalesce(status::text, 'provisioning') = $2"#,
        id,
        before.state.status.label(),
        next.status.label()
    )
    .execute(&mut *connection)
    .await
    .map_err(store_error)?
    .rows_affected();
    if there == 0 {
        return Ok(false);
    }
    // The trigger on `status` has raised the version already when it moved.
    let bump = i64::from(!moved);
    let expected = before.state_version.0 + i64::from(moved);
    let causes = serde_json::to_value(&next.causes).map_err(Error::internal)?;
    let metadata = next
        .runtime_metadata
        .as_ref()
        .map(serde_json::to_value)
        .transpose()
        .map_err(Error::internal)?;
    let written = sqlx::query!(
        r#"UPDATE registry.workspace_vitals
           SET state_version = state_version + $3, causes = $4, epoch = $5, fence_epoch = $6,
               full_beat_seen = $7, last_uptime = $8, runtime_state = $9, runtime_metadata = $10
           WHERE id = $1 AND state_version = $2"#,
        id,
        expected,
        bump,
        causes,
        next.epoch.0,
        next.fence_epoch.0,
        next.full_beat_seen,
        next.last_uptime,
        next.runtime_state.0,
        metadata
    )
    .execute(connection)
    .await
    .map_err(store_error)?
    .rows_affected();
    Ok(written == 1)
}

/// Bytes of evidence that the history keeps.
const MOST_EVIDENCE: usize = 4096;

/// What the history keeps of an agent's words.
#[must_use]
pub fn evidence(words: Option<&str>) -> String {
    let words = words.unwrap_or_default();
    words[..words.floor_char_boundary(MOST_EVIDENCE)].to_owned()
}

/// Appends a structure event; its `seq` is drawn after the commit.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn insert_event(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    event_type: &str,
    payload: &str,
    cause: &Cause,
) -> Result<EventId, Error> {
    let id = uuid::Uuid::now_v7();
    sqlx::query!(
        r#"INSERT INTO public.structure_events
               (id, event_type, workspace_id, payload, created_at, traceparent)
           VALUES ($1, $2, $3, ($4::text)::jsonb, clock_timestamp(), $5)"#,
        id,
        event_type,
        workspace.as_uuid(),
        payload,
        cause.traceparent.map(|parent| parent.to_string())
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(EventId::from_uuid(id))
}

async fn record(
    connection: &mut PgConnection,
    before: &Loaded,
    next: &WorkspaceState,
    rule: &str,
    event: Option<EventId>,
    cause: &Cause,
) -> Result<(), Error> {
    sqlx::query!(
        r#"INSERT INTO registry.decisions
               (workspace_id, rule, from_status, to_status, evidence, state_version, event_id)
           VALUES ($1, $2, ($3::text)::public.workspace_status, ($4::text)::public.workspace_status, $5, $6, $7)"#,
        before.id.as_uuid(),
        rule,
        before.state.status.label(),
        next.status.label(),
        cause.evidence,
        before.state_version.0 + 1,
        event.map(|id| id.as_uuid())
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// One line of a workspace's history.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// When it was decided.
    pub at: chrono::DateTime<chrono::Utc>,
    /// The rule's code.
    pub rule: String,
    /// Status before, none for a new row.
    pub from_status: Option<String>,
    /// Status after.
    pub to_status: String,
    /// What was said or seen.
    pub evidence: String,
    /// The version it led to.
    pub state_version: i64,
    /// The event row written with it.
    pub event_id: Option<uuid::Uuid>,
}

/// The newest decisions about a workspace.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn history(
    connection: &mut PgConnection,
    id: WorkspaceId,
    limit: i64,
) -> Result<Vec<Recorded>, Error> {
    sqlx::query_as!(
        Recorded,
        r#"SELECT at, rule, from_status::text AS from_status, to_status::text AS "to_status!",
                  evidence, state_version, event_id
           FROM registry.decisions WHERE workspace_id = $1 ORDER BY id DESC LIMIT $2"#,
        id.as_uuid(),
        limit
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}
