//! A text among a workspace's rows and memories.

use candor_kernel::{Error, WorkspaceId};
use candor_process::pool::store_error;
use chrono::{DateTime, Utc};
use futures::{Stream, TryStreamExt as _};
use sqlx::PgConnection;
use uuid::Uuid;

/// The newest rows that are looked at: a search that finds nothing ends, too.
const LOOKED_AT: i64 = 20_000;

/// A row or a memory.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct FoundRow {
    pub kind: String,
    pub id: Uuid,
    pub label: String,
    pub content: String,
    pub method: String,
    pub status: String,
    pub created_at: Option<DateTime<Utc>>,
    pub request_text: Option<String>,
    pub request_bytes: Option<Vec<u8>>,
    pub response_text: Option<String>,
    pub response_bytes: Option<Vec<u8>>,
}

/// Rows and memories that hold `pattern` (of LIKE, in any case), newest first.
pub fn search(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    pattern: String,
    limit: i64,
) -> impl Stream<Item = Result<FoundRow, Error>> + '_ {
    sqlx::query_as!(
        FoundRow,
        r#"SELECT kind AS "kind!", id AS "id!", label AS "label!", content AS "content!",
                  method AS "method!", status AS "status!", created_at, request_text,
                  request_bytes, response_text, response_bytes
           FROM (
               SELECT 'activity' AS kind, id, activity_type AS label,
                      coalesce(summary, '') AS content, coalesce(method, '') AS method,
                      coalesce(status, '') AS status, created_at, seq,
                      coalesce(request_text, request_body::text) AS request_text, request_bytes,
                      coalesce(response_text, response_body::text) AS response_text,
                      response_bytes
               FROM (SELECT * FROM public.activity_logs
                     WHERE workspace_id = $1 AND phase <> 'intent' AND created_at IS NOT NULL
                     ORDER BY created_at DESC, seq DESC LIMIT $4) newest
               UNION ALL
               SELECT 'memory', id, scope, content, '', '', created_at, 0, NULL, NULL, NULL, NULL
               FROM public.agent_memories WHERE workspace_id = $1
           ) both_kinds
           WHERE $2 = '%%' OR content ILIKE $2 OR label ILIKE $2 OR method ILIKE $2
              OR status ILIKE $2 OR request_text ILIKE $2 OR response_text ILIKE $2
           ORDER BY created_at DESC, seq DESC, id DESC LIMIT $3"#,
        workspace.as_uuid(),
        pattern,
        limit,
        LOOKED_AT
    )
    .fetch(connection)
    .map_err(store_error)
}
