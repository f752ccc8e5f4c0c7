//! Writing rows: a place for each, then all of them in one statement.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::body::StoredBody;
use crate::row::{Beginning, NewRow, Outcome};

/// The last place that was drawn, and its time.
#[derive(Debug, Clone, Copy)]
pub struct Places {
    /// The last of them.
    pub last: i64,
    /// Its time; the ones before it are a microsecond apart.
    pub at: DateTime<Utc>,
}

/// Draws so many places. Whoever draws holds the log's end until its transaction
/// does, so that places become visible in order; times rise with them, whatever
/// the clock does.
///
/// # Errors
/// Postgres' own.
pub async fn draw(connection: &mut PgConnection, count: i64) -> Result<Places, sqlx::Error> {
    sqlx::query_as!(
        Places,
        r#"UPDATE activity.log_position
           SET last = last + $1,
               at = greatest(clock_timestamp(), at) + $1 * interval '1 microsecond'
           RETURNING last, at"#,
        count as _
    )
    .fetch_one(connection)
    .await
}

/// Inserts rows of workspaces that exist, listed ones at the places; returns the
/// ids that were new.
///
/// # Errors
/// Postgres' own.
pub async fn insert(
    connection: &mut PgConnection,
    rows: &[&NewRow],
    places: Places,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let columns = Columns::of(rows, places.last);
    sqlx::query_scalar!(
        r#"INSERT INTO public.activity_logs
               (id, workspace_id, activity_type, source_kind, source_id, source_ref, auth,
                claimed_source, conversation, target_id, method, summary, status, error_detail,
                duration_ms, request_text, request_bytes, request_is_json, response_text,
                response_bytes, response_is_json, tool_trace_text, digest, queued_digest, traceparent,
                seq, phase, created_at, begun_at, deadline)
           SELECT u.id, u.workspace_id, u.activity_type, u.source_kind, u.source_id, u.source_ref,
                  u.auth, u.claimed_source, u.conversation, u.target_id, u.method, u.summary,
                  u.status, u.error_detail, u.duration_ms, u.request_text, u.request_bytes,
                  u.request_is_json, u.response_text, u.response_bytes, u.response_is_json,
                  u.tool_trace, u.digest, CASE WHEN u.phase = 'queued' THEN u.digest END,
                  u.traceparent, u.seq, u.phase,
                  CASE WHEN u.seq > 0
                       THEN $25::timestamptz - ($26::bigint - u.seq) * interval '1 microsecond' END,
                  CASE WHEN u.seq = 0 THEN clock_timestamp() END,
                  CASE WHEN u.seq = 0
                       THEN clock_timestamp() + u.deadline_seconds * interval '1 second' END
           FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::text[],
                       $7::text[], $8::text[], $9::boolean[], $10::uuid[], $11::text[],
                       $12::text[], $13::text[], $14::text[], $15::integer[], $16::text[],
                       $17::bytea[], $18::boolean[], $19::text[], $20::bytea[], $21::boolean[],
                       $22::bytea[], $23::text[], $24::bigint[], $27::double precision[],
                       $28::text[], $29::text[])
               AS u (id, workspace_id, activity_type, source_kind, source_id, source_ref, auth,
                     claimed_source, conversation, target_id, method, summary, status,
                     error_detail, duration_ms, request_text, request_bytes, request_is_json,
                     response_text, response_bytes, response_is_json, digest, traceparent, seq,
                     deadline_seconds, phase, tool_trace)
           WHERE EXISTS (SELECT 1 FROM public.workspaces w WHERE w.id = u.workspace_id)
           ON CONFLICT (id) DO NOTHING
           RETURNING id"#,
        &columns.ids,
        &columns.workspaces,
        &columns.types as _,
        &columns.kinds as _,
        &columns.source_ids as _,
        &columns.source_refs as _,
        &columns.auths as _,
        &columns.claimed as _,
        &columns.conversations,
        &columns.targets as _,
        &columns.methods as _,
        &columns.summaries as _,
        &columns.statuses as _,
        &columns.errors as _,
        &columns.durations as _,
        &columns.requests.texts as _,
        &columns.requests.bytes as _,
        &columns.requests.are_json as _,
        &columns.responses.texts as _,
        &columns.responses.bytes as _,
        &columns.responses.are_json as _,
        &columns.digests as _,
        &columns.traceparents as _,
        &columns.seqs,
        places.at,
        places.last,
        &columns.deadlines as _,
        &columns.phases as _,
        &columns.traces as _,
    )
    .fetch_all(connection)
    .await
}

/// The columns of [`insert`].
#[derive(Default)]
struct Columns<'a> {
    ids: Vec<Uuid>,
    workspaces: Vec<Uuid>,
    types: Vec<&'a str>,
    kinds: Vec<&'static str>,
    source_ids: Vec<Option<Uuid>>,
    source_refs: Vec<Option<String>>,
    auths: Vec<Option<&'static str>>,
    claimed: Vec<Option<&'a str>>,
    conversations: Vec<bool>,
    targets: Vec<Option<Uuid>>,
    methods: Vec<Option<&'a str>>,
    summaries: Vec<Option<&'a str>>,
    statuses: Vec<Option<&'a str>>,
    errors: Vec<Option<&'a str>>,
    durations: Vec<Option<i32>>,
    requests: Bodies<'a>,
    responses: Bodies<'a>,
    digests: Vec<&'a [u8]>,
    traceparents: Vec<Option<&'a str>>,
    seqs: Vec<i64>,
    deadlines: Vec<Option<f64>>,
    phases: Vec<&'static str>,
    traces: Vec<Option<&'a str>>,
}

#[derive(Default)]
struct Bodies<'a> {
    texts: Vec<Option<&'a str>>,
    bytes: Vec<Option<&'a [u8]>>,
    are_json: Vec<Option<bool>>,
}

impl<'a> Bodies<'a> {
    fn push(&mut self, body: Option<&'a StoredBody>) {
        self.texts.push(body.and_then(StoredBody::text));
        self.bytes.push(body.and_then(StoredBody::bytes));
        self.are_json.push(body.map(|body| body.is_json));
    }
}

impl<'a> Columns<'a> {
    /// Listed rows have the last places up to `last`, in their order.
    fn of(rows: &[&'a NewRow], last: i64) -> Self {
        let mut columns = Self::default();
        let mut seq = last - listed(rows);
        for row in rows {
            columns.ids.push(row.id.as_uuid());
            columns.workspaces.push(row.workspace.as_uuid());
            columns.types.push(&row.activity_type);
            columns.kinds.push(row.source.kind().label());
            let source_id = row.source_id().map(|id| id.as_uuid());
            columns.source_ids.push(source_id);
            columns.source_refs.push(row.source_ref());
            columns
                .auths
                .push(row.source.auth().map(|auth| auth.label()));
            columns.claimed.push(row.claimed_source.as_deref());
            columns.conversations.push(row.is_conversation());
            columns.targets.push(row.target.map(|id| id.as_uuid()));
            columns.methods.push(row.method.as_deref());
            columns.summaries.push(row.summary.as_deref());
            columns.statuses.push(row.status.as_deref());
            columns.errors.push(row.error_detail.as_deref());
            columns.durations.push(row.duration_ms);
            columns.requests.push(row.request.as_ref());
            columns.responses.push(row.response.as_ref());
            columns.digests.push(&row.fingerprint);
            columns.traceparents.push(row.traceparent.as_deref());
            columns.phases.push(row.beginning.phase());
            columns.traces.push(row.tool_trace.as_deref());
            match row.beginning {
                Beginning::Queued { .. } | Beginning::Final { .. } => {
                    seq += 1;
                    columns.seqs.push(seq);
                    columns.deadlines.push(None);
                }
                Beginning::Intent(deadline) => {
                    columns.seqs.push(0);
                    columns.deadlines.push(Some(deadline.as_secs_f64()));
                }
            }
        }
        columns
    }
}

/// How many of these rows are listed at once.
#[must_use]
pub fn listed(rows: &[&NewRow]) -> i64 {
    let listed = rows.iter().filter(|row| row.beginning.is_listed());
    i64::try_from(listed.count()).unwrap_or(i64::MAX)
}

/// What a row says to who watches.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Told {
    pub id: Uuid,
    pub workspace_id: Uuid,
    pub activity_type: String,
    pub method: Option<String>,
    pub summary: Option<String>,
    pub status: Option<String>,
    pub source_id: Option<Uuid>,
    pub target_id: Option<Uuid>,
    pub duration_ms: Option<i32>,
    pub tool_trace: Option<String>,
}

/// Completes rows that are not final; an intent gets its place, the last ones up
/// to `places`. Returns the rows that changed.
///
/// # Errors
/// Postgres' own.
pub async fn complete(
    connection: &mut PgConnection,
    outcomes: &[&Outcome],
    places: Places,
) -> Result<Vec<Told>, sqlx::Error> {
    let (mut responses, mut ids, mut seqs) = (Bodies::default(), Vec::new(), Vec::new());
    let count = i64::try_from(outcomes.len()).unwrap_or(i64::MAX);
    for (outcome, n) in outcomes.iter().zip(1..) {
        responses.push(outcome.response.as_ref());
        ids.push(outcome.id.as_uuid());
        seqs.push(places.last - count + n);
    }
    let text = |field: fn(&Outcome) -> Option<&str>| -> Vec<Option<&str>> {
        outcomes.iter().map(|outcome| field(outcome)).collect()
    };
    let statuses: Vec<&str> = outcomes.iter().map(|o| o.status.as_str()).collect();
    let queued: Vec<bool> = outcomes.iter().map(|o| o.is_queued).collect();
    let durations: Vec<Option<i32>> = outcomes.iter().map(|o| o.duration_ms).collect();
    let digests: Vec<&[u8]> = outcomes.iter().map(|o| o.fingerprint.as_slice()).collect();
    sqlx::query_as!(
        Told,
        r#"UPDATE public.activity_logs a
           SET phase = CASE WHEN u.queued THEN 'queued' ELSE 'final' END,
               seq = CASE WHEN a.phase = 'intent' THEN u.seq ELSE a.seq END,
               created_at = CASE WHEN a.phase = 'intent'
                   THEN $12::timestamptz - ($13::bigint - u.seq) * interval '1 microsecond'
                   ELSE a.created_at END,
               status = u.status, error_detail = u.error_detail, duration_ms = u.duration_ms,
               response_text = CASE WHEN t.id IS NULL THEN u.response_text END,
               response_bytes = CASE WHEN t.id IS NULL THEN u.response_bytes END,
               response_is_json = CASE WHEN t.id IS NULL THEN u.response_is_json END,
               tool_trace_text = CASE WHEN t.id IS NULL
                   THEN coalesce(u.tool_trace, a.tool_trace_text) END,
               summary = coalesce(u.summary, a.summary),
               queued_digest = CASE WHEN u.queued THEN u.digest ELSE a.queued_digest END,
               outcome_digest = CASE WHEN u.queued THEN NULL ELSE u.digest END
           FROM unnest($1::uuid[], $2::bigint[], $3::boolean[], $4::text[], $5::text[],
                       $6::integer[], $7::text[], $8::bytea[], $9::boolean[], $10::text[],
                       $11::text[], $14::bytea[])
               AS u (id, seq, queued, status, error_detail, duration_ms, response_text,
                     response_bytes, response_is_json, tool_trace, summary, digest)
           JOIN public.activity_logs known ON known.id = u.id
           -- A purged workspace's rows stay empty.
           LEFT JOIN registry.tombstones t ON t.id = known.workspace_id
           WHERE a.id = u.id AND a.phase <> 'final' AND NOT (u.queued AND a.phase = 'queued')
           RETURNING a.id, a.workspace_id, a.activity_type, a.method, a.summary, a.status,
                     a.source_id, a.target_id, a.duration_ms, a.tool_trace_text AS tool_trace"#,
        &ids,
        &seqs,
        &queued,
        &statuses as _,
        &text(|o| o.error_detail.as_deref()) as _,
        &durations as _,
        &responses.texts as _,
        &responses.bytes as _,
        &responses.are_json as _,
        &text(|o| o.tool_trace.as_deref()) as _,
        &text(|o| o.summary.as_deref()) as _,
        places.at,
        places.last,
        &digests as _,
    )
    .fetch_all(connection)
    .await
}

/// What is known of a row that a write did not change.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Known {
    pub id: Uuid,
    pub digest: Option<Vec<u8>>,
    pub queued_digest: Option<Vec<u8>>,
    pub outcome_digest: Option<Vec<u8>>,
    pub is_final: bool,
    pub was_reaped: bool,
}

/// What is known of these rows.
///
/// # Errors
/// Postgres' own.
pub async fn known(connection: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<Known>, sqlx::Error> {
    sqlx::query_as!(
        Known,
        r#"SELECT id, digest, queued_digest, outcome_digest, phase = 'final' AS "is_final!",
                  reaped_at IS NOT NULL AS "was_reaped!"
           FROM public.activity_logs WHERE id = ANY($1)"#,
        ids
    )
    .fetch_all(connection)
    .await
}

/// What a row says to who watches.
///
/// # Errors
/// Postgres' own.
pub async fn told(connection: &mut PgConnection, id: Uuid) -> Result<Option<Told>, sqlx::Error> {
    sqlx::query_as!(
        Told,
        r#"SELECT id, workspace_id, activity_type, method, summary, status, source_id, target_id,
                  duration_ms, tool_trace_text AS tool_trace
           FROM public.activity_logs WHERE id = $1"#,
        id
    )
    .fetch_optional(connection)
    .await
}

/// Keeps an outcome beside the row that the reaper closed; false if another one
/// is there already.
///
/// # Errors
/// Postgres' own.
pub async fn keep_late(
    connection: &mut PgConnection,
    outcome: &Outcome,
) -> Result<bool, sqlx::Error> {
    let response = outcome.response.as_ref();
    sqlx::query_scalar!(
        r#"WITH kept AS (
               INSERT INTO activity.late_outcomes
                   (id, status, error_detail, duration_ms, response_text, response_bytes,
                    response_is_json, digest)
               SELECT $1, $2, $3, $4,
                      CASE WHEN t.id IS NULL THEN $5 END, CASE WHEN t.id IS NULL THEN $6::bytea END,
                      CASE WHEN t.id IS NULL THEN $7::boolean END, $8
               FROM public.activity_logs a
               LEFT JOIN registry.tombstones t ON t.id = a.workspace_id
               WHERE a.id = $1
               ON CONFLICT (id) DO NOTHING RETURNING 1)
           SELECT EXISTS (SELECT 1 FROM kept)
               OR EXISTS (SELECT 1 FROM activity.late_outcomes WHERE id = $1 AND digest = $8)
               AS "same!""#,
        outcome.id.as_uuid(),
        outcome.status,
        outcome.error_detail,
        outcome.duration_ms,
        response.and_then(StoredBody::text),
        response.and_then(StoredBody::bytes),
        response.map(|body| body.is_json),
        outcome.fingerprint.as_slice()
    )
    .fetch_one(connection)
    .await
}
