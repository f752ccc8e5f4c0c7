//! Tokens that workspaces used (contract/a2a.md, "Token usage").

use candor_kernel::{Error, WorkspaceId};
use candor_process::pool::store_error;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// What a workspace used today.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Today {
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub calls: i64,
    pub cost_usd: String,
    pub period_start: DateTime<Utc>,
    pub period_end: DateTime<Utc>,
}

/// What a workspace used since midnight UTC; none if there is no such workspace.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn today(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
) -> Result<Option<Today>, Error> {
    sqlx::query_as!(
        Today,
        r#"SELECT coalesce(t.input_tokens, 0) AS "input_tokens!",
                  coalesce(t.output_tokens, 0) AS "output_tokens!",
                  coalesce(t.call_count, 0)::bigint AS "calls!",
                  coalesce(t.estimated_cost_usd, 0)::numeric(12, 6)::text AS "cost_usd!",
                  date_trunc('day', now(), 'UTC') AS "period_start!",
                  date_trunc('day', now(), 'UTC') + interval '1 day' AS "period_end!"
           FROM public.workspaces w
           LEFT JOIN public.workspace_token_usage t
               ON t.workspace_id = w.id AND t.period_start = date_trunc('day', now(), 'UTC')
           WHERE w.id = $1"#,
        workspace.as_uuid()
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)
}
