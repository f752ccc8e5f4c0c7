//! A text among a workspace's rows and memories.

use candor_kernel::{Error, WorkspaceId};
use candor_process::pool::store_error;
use chrono::{DateTime, Utc};
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
    /// How many were found, those left out included.
    pub of_found: i64,
}

/// Bytes of bodies that are looked at: what does not fit in memory's pace would
/// only end by a deadline.
const BYTES_LOOKED_AT: i64 = 16 * 1024 * 1024;

/// Rows and memories that hold `pattern` (of LIKE, in any case), newest first: at
/// most so many, and so many bytes, but one. And whether some were left out
/// because there were too many bytes.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn search(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    pattern: &str,
    limit: i64,
    bytes: i64,
) -> Result<(Vec<FoundRow>, bool), Error> {
    let rows = sqlx::query_as!(
        FoundRow,
        r#"WITH newest AS MATERIALIZED (
               SELECT *, sum(size) OVER (ORDER BY created_at DESC, seq DESC, id DESC
                                         ROWS UNBOUNDED PRECEDING) AS up_to
               FROM (SELECT id, activity_type, summary, method, status, created_at, seq,
                            request_text, request_bytes, request_body, response_text,
                            response_bytes, response_body,
                            coalesce(octet_length(request_text), 0)
                            + coalesce(octet_length(response_text), 0)
                            + coalesce(octet_length(request_body::text), 0)
                            + coalesce(octet_length(response_body::text), 0) AS size
                     FROM public.activity_logs
                     WHERE workspace_id = $1 AND phase <> 'intent' AND created_at IS NOT NULL
                     ORDER BY created_at DESC, seq DESC, id DESC LIMIT $4) page),
           found AS (
               SELECT *, sum(weight) OVER (ORDER BY created_at DESC, seq DESC, id DESC
                                           ROWS UNBOUNDED PRECEDING) AS answered
               FROM (
                   SELECT 256 + size + octet_length(content) + octet_length(method)
                          + octet_length(status) + coalesce(octet_length(request_bytes), 0)
                          + coalesce(octet_length(response_bytes), 0) AS weight, kind, id, label, content, method, status, created_at, seq, size,
                          request_text, request_bytes, response_text, response_bytes
                   FROM (
                       SELECT 'activity' AS kind, id, activity_type AS label,
                              coalesce(summary, '') AS content, coalesce(method, '') AS method,
                              coalesce(status, '') AS status, created_at, seq, size,
                              coalesce(request_text, request_body::text) AS request_text,
                              request_bytes,
                              coalesce(response_text, response_body::text) AS response_text,
                              response_bytes
                       FROM newest WHERE up_to - size < $5
                       UNION ALL
                       SELECT 'memory', id, scope, content, '', '', created_at, 0,
                              0, NULL, NULL, NULL, NULL
                       FROM public.agent_memories WHERE workspace_id = $1
                   ) both_kinds
                   WHERE $2 = '%%' OR content ILIKE $2 OR label ILIKE $2 OR method ILIKE $2
                      OR status ILIKE $2 OR request_text ILIKE $2 OR response_text ILIKE $2
                   ORDER BY created_at DESC, seq DESC, id DESC LIMIT $3) fits)
           SELECT kind AS "kind!", id AS "id!", label AS "label!", content AS "content!",
                  method AS "method!", status AS "status!", created_at, request_text,
                  request_bytes, response_text, response_bytes,
                  (SELECT count(*) FROM found) AS "of_found!"
           FROM found WHERE answered - weight < $6
           ORDER BY created_at DESC, seq DESC, id DESC"#,
        workspace.as_uuid(),
        pattern,
        limit,
        LOOKED_AT,
        BYTES_LOOKED_AT as _,
        bytes as _
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)?;
    let of_found = rows.first().map_or(0, |row| row.of_found);
    let cut = i64::try_from(rows.len()).unwrap_or(i64::MAX) < of_found;
    Ok((rows, cut))
}
