//! Reading rows: newest first, or on from a cursor.

use candor_kernel::{Error, WorkspaceId};
use candor_process::pool::store_error;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// A row as it is stored. Bodies are in one of three columns: text, bytes, or an
/// older platform's jsonb.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct StoredRow {
    pub id: Uuid,
    pub workspace_id: Uuid,
    pub activity_type: String,
    pub source_kind: String,
    pub source_id: Option<Uuid>,
    pub source_ref: Option<String>,
    pub auth: Option<String>,
    pub claimed_source: Option<String>,
    pub conversation: bool,
    pub target_id: Option<Uuid>,
    pub method: Option<String>,
    pub summary: Option<String>,
    pub status: Option<String>,
    pub error_detail: Option<String>,
    pub duration_ms: Option<i32>,
    pub request_text: Option<String>,
    pub request_bytes: Option<Vec<u8>>,
    pub response_text: Option<String>,
    pub response_bytes: Option<Vec<u8>>,
    pub tool_trace: Option<String>,
    pub created_at: DateTime<Utc>,
    pub is_final: bool,
    pub was_reaped: bool,
    pub traceparent: Option<String>,
    pub seq: i64,
}

impl StoredRow {
    /// Where it stands.
    #[must_use]
    pub const fn place(&self) -> Place {
        Place {
            created_at: self.created_at,
            seq: self.seq,
            id: self.id,
        }
    }
}

/// Which rows.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Filter {
    pub activity_type: Option<String>,
    pub conversation: Option<bool>,
    pub peer: Option<Uuid>,
    pub before: Option<DateTime<Utc>>,
}

/// A place in the log.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct Place {
    pub created_at: DateTime<Utc>,
    pub seq: i64,
    pub id: Uuid,
}

/// Where a listed row of a workspace stands; none if it is not there (any more).
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn place(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    id: Uuid,
) -> Result<Option<Place>, Error> {
    sqlx::query_as!(
        Place,
        r#"SELECT created_at AS "created_at!", seq, id FROM public.activity_logs
           WHERE id = $1 AND workspace_id = $2 AND phase <> 'intent' AND created_at IS NOT NULL"#,
        id,
        workspace.as_uuid()
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)
}

/// Rows of a page, and whether some were left out because it was full.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Page {
    pub rows: Vec<StoredRow>,
    pub more: bool,
}

// Bodies may be large: the page is cut where their sizes say so, before any of
// them is read.
macro_rules! page {
    ($connection:expr, $workspace:expr, $filter:expr, $from:expr, $limit:expr, $bytes:expr,
     $beyond:literal, $order:literal) => {{
        let rows = sqlx::query!(
            r#"SELECT id, workspace_id, activity_type, source_kind, source_id, source_ref, auth,
                      claimed_source, coalesce(conversation, source_id IS NULL) AS "conversation!",
                      target_id, method, summary, status, error_detail, duration_ms,
                      coalesce(request_text, request_body::text) AS request_text, request_bytes,
                      coalesce(response_text, response_body::text) AS response_text,
                      response_bytes,
                      coalesce(tool_trace_text, tool_trace::text) AS tool_trace,
                      created_at AS "created_at!", phase = 'final' AS "is_final!",
                      reaped_at IS NOT NULL AS "was_reaped!", traceparent,
                      seq, of_page AS "of_page!"
               FROM (
                   SELECT *, sum(size) OVER (ORDER BY "#
                + $order
                + r#" ROWS UNBOUNDED PRECEDING) AS up_to, count(*) OVER () AS of_page
                   FROM (
                       SELECT *, 256 + coalesce(octet_length(request_text), 0)
                              + coalesce(octet_length(request_bytes), 0)
                              + coalesce(octet_length(response_text), 0)
                              + coalesce(octet_length(response_bytes), 0)
                              + coalesce(octet_length(tool_trace_text), 0)
                              + coalesce(octet_length(summary), 0)
                              + coalesce(octet_length(error_detail), 0)
                              + coalesce(octet_length(method), 0)
                              + coalesce(octet_length(status), 0)
                              + coalesce(octet_length(claimed_source), 0)
                              + octet_length(activity_type)
                              + coalesce(octet_length(request_body::text), 0)
                              + coalesce(octet_length(response_body::text), 0)
                              + coalesce(octet_length(tool_trace::text), 0)
                              + CASE WHEN reaped_at IS NULL THEN 0 ELSE coalesce(
                                  (SELECT coalesce(octet_length(l.response_text), 0)
                                          + coalesce(octet_length(l.response_bytes), 0)
                                          + coalesce(octet_length(l.error_detail), 0)
                                   FROM activity.late_outcomes l WHERE l.id = a.id), 0) END AS size
                       FROM public.activity_logs a
                       WHERE workspace_id = $1 AND phase <> 'intent' AND created_at IS NOT NULL
                         AND ($2::text IS NULL OR activity_type = $2)
                         AND ($3::boolean IS NULL
                              OR coalesce(conversation, source_id IS NULL) = $3)
                         AND ($4::uuid IS NULL OR source_id = $4 OR target_id = $4)
                         AND ($5::timestamptz IS NULL OR created_at < $5)
                         AND ($6::timestamptz IS NULL OR (created_at, seq, id) "#
                + $beyond
                + r#" ($6, $7::bigint, $8::uuid))
                       ORDER BY "#
                + $order
                + r#" LIMIT $9) page) sized
               WHERE up_to - size < $10
               ORDER BY "#
                + $order,
            $workspace.as_uuid(),
            $filter.activity_type.as_deref(),
            $filter.conversation,
            $filter.peer,
            $filter.before,
            $from.map(|place: Place| place.created_at),
            $from.map(|place: Place| place.seq),
            $from.map(|place: Place| place.id),
            $limit,
            $bytes
        )
        .fetch_all($connection)
        .await
        .map_err(store_error)?;
        let of_page = rows.first().map_or(0, |row| row.of_page);
        let more = i64::try_from(rows.len()).unwrap_or(i64::MAX) < of_page;
        let rows = rows.into_iter().map(|row| StoredRow {
            id: row.id,
            workspace_id: row.workspace_id,
            activity_type: row.activity_type,
            source_kind: row.source_kind,
            source_id: row.source_id,
            source_ref: row.source_ref,
            auth: row.auth,
            claimed_source: row.claimed_source,
            conversation: row.conversation,
            target_id: row.target_id,
            method: row.method,
            summary: row.summary,
            status: row.status,
            error_detail: row.error_detail,
            duration_ms: row.duration_ms,
            request_text: row.request_text,
            request_bytes: row.request_bytes,
            response_text: row.response_text,
            response_bytes: row.response_bytes,
            tool_trace: row.tool_trace,
            created_at: row.created_at,
            is_final: row.is_final,
            was_reaped: row.was_reaped,
            traceparent: row.traceparent,
            seq: row.seq,
        });
        Ok(Page {
            rows: rows.collect(),
            more,
        })
    }};
}

/// Rows before a place, newest first: at most so many, and so many bytes, but one.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn newest(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    filter: &Filter,
    from: Option<Place>,
    limit: i64,
    bytes: i64,
) -> Result<Page, Error> {
    page!(
        connection,
        workspace,
        filter,
        from,
        limit,
        bytes as _,
        "<",
        "created_at DESC, seq DESC, id DESC"
    )
}

/// Rows after a place, oldest first, likewise. A place is never passed by a row
/// that commits later.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn oldest(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    filter: &Filter,
    from: Option<Place>,
    limit: i64,
    bytes: i64,
) -> Result<Page, Error> {
    page!(
        connection,
        workspace,
        filter,
        from,
        limit,
        bytes as _,
        ">",
        "created_at, seq, id"
    )
}

/// Open rows at or before a listed row of the same workspace, oldest first; none
/// without that row.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn queued(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    filter: &Filter,
    cursor: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>, Error> {
    sqlx::query_scalar!(
        r#"SELECT id FROM public.activity_logs
           WHERE workspace_id = $1 AND phase = 'queued' AND activity_type = 'a2a_receive'
             AND seq <= (SELECT c.seq FROM public.activity_logs c
                         WHERE c.id = $2 AND c.workspace_id = $1 AND c.phase <> 'intent')
             AND ($3::text IS NULL OR activity_type = $3)
             AND ($4::boolean IS NULL OR coalesce(conversation, source_id IS NULL) = $4)
             AND ($5::uuid IS NULL OR source_id = $5 OR target_id = $5)
           ORDER BY seq LIMIT $6"#,
        workspace.as_uuid(),
        cursor,
        filter.activity_type.as_deref(),
        filter.conversation,
        filter.peer,
        limit
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// An outcome that came too late to be its row's own.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Late {
    pub id: Uuid,
    pub received_at: DateTime<Utc>,
    pub status: String,
    pub error_detail: Option<String>,
    pub duration_ms: Option<i32>,
    pub response_text: Option<String>,
    pub response_bytes: Option<Vec<u8>>,
}

/// The late outcomes of these rows.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn late(connection: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<Late>, Error> {
    sqlx::query_as!(
        Late,
        r#"SELECT id, received_at, status, error_detail, duration_ms, response_text,
                  response_bytes
           FROM activity.late_outcomes WHERE id = ANY($1)"#,
        ids
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

/// A workspace's name, and whether it was removed.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn workspace_name(
    connection: &mut PgConnection,
    id: WorkspaceId,
) -> Result<Option<String>, Error> {
    sqlx::query_scalar!(
        "SELECT name FROM public.workspaces WHERE id = $1 AND status IS DISTINCT FROM 'removed'",
        id.as_uuid()
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)
}
