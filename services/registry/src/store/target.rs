//! What must be known before a message is sent, in one round trip, and who sent
//! one lately.

use candor_kernel::{Causes, Error, RuntimeMetadata, Status, WorkspaceId};
use candor_process::pool::store_error;
use sqlx::PgConnection;

/// A workspace as whoever sends it a message must know it.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct TargetRow {
    pub name: String,
    /// Empty if it has none.
    pub url: String,
    pub status: Status,
    pub epoch: i64,
    pub causes: Causes,
    pub runtime_metadata: Option<RuntimeMetadata>,
    pub active_tasks: i32,
    pub max_concurrent_tasks: i32,
    /// `push` or `poll`.
    pub delivery_mode: String,
    /// JSON text as Postgres prints it.
    pub agent_card: Option<String>,
    pub runtime: String,
    /// US cents a month.
    pub budget_limit: Option<i64>,
    /// US cents of the running UTC month.
    pub monthly_spend: i64,
    /// The caller with its ancestors, itself first; empty if it does not exist, or
    /// if none was asked for.
    pub caller_line: Vec<WorkspaceId>,
    /// The workspace with its ancestors, itself first; empty if no caller was asked
    /// for.
    pub target_line: Vec<WorkspaceId>,
}

struct Row {
    n: i64,
    name: String,
    url: String,
    status: String,
    epoch: i64,
    causes: serde_json::Value,
    runtime_metadata: Option<serde_json::Value>,
    active_tasks: i32,
    max_concurrent_tasks: i32,
    delivery_mode: String,
    agent_card: Option<String>,
    runtime: String,
    budget_limit: Option<i64>,
    monthly_spend: i64,
    caller_line: Option<Vec<uuid::Uuid>>,
    target_line: Option<Vec<uuid::Uuid>>,
}

impl TryFrom<Row> for TargetRow {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let status: Status = row.status.parse().map_err(Error::internal)?;
        // Alive without a cause is what `online` means, whoever set it.
        let causes = if status == Status::Online {
            Causes::default()
        } else {
            serde_json::from_value(row.causes).map_err(Error::internal)?
        };
        let runtime_metadata = row
            .runtime_metadata
            .map(serde_json::from_value)
            .transpose()
            .map_err(Error::internal)?;
        Ok(Self {
            name: row.name,
            url: row.url,
            status,
            epoch: row.epoch,
            causes,
            runtime_metadata,
            active_tasks: row.active_tasks,
            max_concurrent_tasks: row.max_concurrent_tasks,
            delivery_mode: row.delivery_mode,
            agent_card: row.agent_card,
            runtime: row.runtime,
            budget_limit: row.budget_limit,
            monthly_spend: row.monthly_spend,
            caller_line: line(row.caller_line),
            target_line: line(row.target_line),
        })
    }
}

fn line(ids: Option<Vec<uuid::Uuid>>) -> Vec<WorkspaceId> {
    let ids = ids.unwrap_or_default().into_iter();
    ids.map(WorkspaceId::from_uuid).collect()
}

/// A workspace to be resolved, for a caller whose hierarchy is asked.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct Asked {
    pub id: WorkspaceId,
    pub caller: Option<WorkspaceId>,
}

/// Several workspaces, removed ones included, each with the two lineages if a caller
/// is given: one statement, answers in the order of the questions. As in
/// [`super::discovery::lineage`] a cycle ends a walk.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer; `INTERNAL` for a row that
/// cannot be read.
pub async fn resolve(
    connection: &mut PgConnection,
    asked: &[Asked],
) -> Result<Vec<Option<TargetRow>>, Error> {
    let ids: Vec<uuid::Uuid> = asked.iter().map(|one| one.id.as_uuid()).collect();
    let callers: Vec<Option<uuid::Uuid>> = asked
        .iter()
        .map(|one| one.caller.map(|caller| caller.as_uuid()))
        .collect();
    let rows = sqlx::query_as!(
        Row,
        r#"WITH RECURSIVE asked AS (
               SELECT * FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS a (id, caller, n)),
           roots AS (
               SELECT id FROM asked WHERE caller IS NOT NULL
               UNION SELECT caller FROM asked WHERE caller IS NOT NULL),
           up (root, id, parent_id, depth, path) AS (
               SELECT w.id, w.id, w.parent_id, 0, ARRAY[w.id]
               FROM roots JOIN public.workspaces w ON w.id = roots.id
               UNION ALL
               SELECT up.root, w.id, w.parent_id, up.depth + 1, up.path || w.id
               FROM public.workspaces w JOIN up ON w.id = up.parent_id
               WHERE NOT w.id = ANY(up.path) AND up.depth < 1000),
           lines AS (
               SELECT root, array_agg(id ORDER BY depth) AS line FROM up GROUP BY root)
           SELECT a.n AS "n!", w.name AS "name!", coalesce(w.url, '') AS "url!",
                  coalesce(w.status::text, 'provisioning') AS "status!", v.epoch AS "epoch!",
                  v.causes AS "causes!", v.runtime_metadata,
                  v.active_tasks AS "active_tasks!",
                  w.max_concurrent_tasks AS "max_concurrent_tasks!",
                  w.delivery_mode AS "delivery_mode!",
                  w.agent_card::text AS agent_card, coalesce(w.runtime, 'langgraph') AS "runtime!",
                  w.budget_limit,
                  CASE WHEN v.spend_month < date_trunc('month', now() AT TIME ZONE 'UTC')::date
                       THEN 0 ELSE v.monthly_spend END AS "monthly_spend!",
                  (SELECT line FROM lines WHERE root = a.caller) AS caller_line,
                  (SELECT line FROM lines WHERE root = a.id AND a.caller IS NOT NULL)
                      AS target_line
           FROM asked a
           JOIN public.workspaces w ON w.id = a.id
           JOIN registry.workspace_vitals v ON v.id = w.id"#,
        &ids,
        &callers as _
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)?;
    let mut found: Vec<Option<TargetRow>> = asked.iter().map(|_| None).collect();
    for row in rows {
        let place = usize::try_from(row.n - 1).unwrap_or(usize::MAX);
        if let Some(place) = found.get_mut(place) {
            *place = Some(row.try_into()?);
        }
    }
    Ok(found)
}

/// Notes that these workspaces just sent something. What was noted within the
/// last second is left alone: a busy sender costs one write a second. No index
/// has the column, so the writes stay heap-only. Rows are locked in id order.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn note_outbound(connection: &mut PgConnection, ids: &[uuid::Uuid]) -> Result<(), Error> {
    sqlx::query!(
        r#"WITH due AS MATERIALIZED (
               SELECT id FROM public.workspaces
               WHERE id = ANY($1)
                 AND (last_outbound_at < now() - interval '1 second') IS NOT FALSE
               ORDER BY id FOR NO KEY UPDATE)
           UPDATE public.workspaces w SET last_outbound_at = now() FROM due WHERE w.id = due.id"#,
        ids
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}
