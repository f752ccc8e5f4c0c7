//! Writes a batch of folded beats in one statement.
//!
//! Two statements exist. [`write_steady`] serves batches in which nothing but
//! vitals changes, nearly all of them. [`write_changes`] also writes decided
//! states, their events and their history. Both compare, in the row they write,
//! `auth_version` and `state_version`: a join against another table would let a
//! beat through that a committed revocation had overtaken. Rows come sorted by
//! id, each id once.

use candor_kernel::{AuthVersion, Epoch, StateVersion, Status, TurnProgress, WorkspaceId};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;

/// One workspace's folded beats. `None` leaves a column as it is.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct VitalsRow {
    pub id: WorkspaceId,
    pub state_version: StateVersion,
    pub auth_version: AuthVersion,
    pub error_rate: Option<f64>,
    pub sample_error: Option<String>,
    pub active_tasks: Option<i32>,
    pub uptime_seconds: Option<i32>,
    pub last_uptime: Option<i32>,
    pub current_task: Option<String>,
    pub monthly_spend: Option<i64>,
    pub expect_quiet_until: Option<DateTime<Utc>>,
    pub turn_progress: Option<TurnProgress>,
    pub change: Option<Change>,
}

/// A decided state, to be written with the vitals.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Change {
    pub from: Status,
    pub to: Status,
    pub epoch: Epoch,
    /// JSON text.
    pub causes: String,
    pub full_beat_seen: bool,
    pub runtime_state: String,
    /// JSON text; none clears it.
    pub runtime_metadata: Option<String>,
    pub rule: &'static str,
    pub evidence: String,
    pub events: Vec<EventRow>,
}

/// An event row that belongs to a change.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct EventRow {
    pub id: uuid::Uuid,
    pub event_type: &'static str,
    pub payload: String,
    pub traceparent: Option<String>,
}

/// The columns of a batch, as arrays.
#[derive(Default)]
struct Columns<'a> {
    id: Vec<uuid::Uuid>,
    state_version: Vec<i64>,
    auth_version: Vec<i64>,
    error_rate: Vec<Option<f64>>,
    sample_error: Vec<Option<&'a str>>,
    active_tasks: Vec<Option<i32>>,
    uptime: Vec<Option<i32>>,
    last_uptime: Vec<Option<i32>>,
    current_task: Vec<Option<&'a str>>,
    spend: Vec<Option<i64>>,
    quiet: Vec<Option<DateTime<Utc>>>,
    progress: Vec<Option<Json<TurnProgress>>>,
}

impl<'a> Columns<'a> {
    fn of(rows: &'a [VitalsRow]) -> Self {
        let mut columns = Self::default();
        for row in rows {
            columns.id.push(row.id.as_uuid());
            columns.state_version.push(row.state_version.0);
            columns.auth_version.push(row.auth_version.0);
            columns.error_rate.push(row.error_rate);
            columns.sample_error.push(row.sample_error.as_deref());
            columns.active_tasks.push(row.active_tasks);
            columns.uptime.push(row.uptime_seconds);
            columns.last_uptime.push(row.last_uptime);
            columns.current_task.push(row.current_task.as_deref());
            columns.spend.push(row.monthly_spend);
            columns.quiet.push(row.expect_quiet_until);
            columns.progress.push(row.turn_progress.map(Json));
        }
        columns
    }
}

/// The rows of a batch that were written, by position; `None` means all.
pub type Written = Option<Vec<i64>>;

/// Writes vitals and leases.
///
/// # Errors
/// The statement's own error: the caller tells a lost connection from a row
/// that Postgres refuses.
pub async fn write_steady(
    connection: &mut PgConnection,
    rows: &[VitalsRow],
    lease_seconds: f64,
) -> Result<Written, sqlx::Error> {
    let c = Columns::of(rows);
    sqlx::query_scalar!(
        r#"WITH u AS (
             UPDATE registry.workspace_vitals v SET
               last_heartbeat_at = now(),
               lease_until = greatest(v.lease_until, now() + make_interval(secs => $12),
                                      CASE WHEN b.quiet IS NOT NULL
                                        THEN least(b.quiet, now() + interval '30 minutes') END),
               last_error_rate = coalesce(b.error_rate, v.last_error_rate),
               last_sample_error = coalesce(b.sample_error, v.last_sample_error),
               active_tasks = coalesce(b.active_tasks, v.active_tasks),
               uptime_seconds = coalesce(b.uptime, v.uptime_seconds),
               last_uptime = coalesce(b.last_uptime, v.last_uptime),
               current_task = coalesce(b.current_task, v.current_task),
               turn_progress = coalesce(b.progress, v.turn_progress),
               monthly_spend = CASE
                 WHEN b.spend IS NULL THEN v.monthly_spend
                 WHEN v.spend_month = date_trunc('month', now() AT TIME ZONE 'UTC')::date
                   THEN greatest(v.monthly_spend, b.spend)
                 ELSE b.spend END,
               spend_month = CASE WHEN b.spend IS NULL THEN v.spend_month
                 ELSE date_trunc('month', now() AT TIME ZONE 'UTC')::date END
             FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::float8[], $5::text[], $6::int[],
                         $7::int[], $8::int[], $9::text[], $10::bigint[], $11::timestamptz[],
                         $13::jsonb[])
               WITH ORDINALITY AS b(id, sv, av, error_rate, sample_error, active_tasks, uptime,
                                    last_uptime, current_task, spend, quiet, progress, ord)
             WHERE v.id = b.id AND v.state_version = b.sv AND v.auth_version = b.av
               -- Another replica saw a later uptime: decide again with it.
               AND coalesce(b.last_uptime >= v.last_uptime, true)
             RETURNING b.ord)
           SELECT CASE WHEN count(*) = cardinality($1::uuid[]) THEN NULL
                       ELSE coalesce(array_agg(ord), '{}') END AS ords FROM u"#,
        &c.id,
        &c.state_version,
        &c.auth_version,
        &c.error_rate as &[Option<f64>],
        &c.sample_error as &[Option<&str>],
        &c.active_tasks as &[Option<i32>],
        &c.uptime as &[Option<i32>],
        &c.last_uptime as &[Option<i32>],
        &c.current_task as &[Option<&str>],
        &c.spend as &[Option<i64>],
        &c.quiet as &[Option<DateTime<Utc>>],
        lease_seconds,
        &c.progress as &[Option<Json<TurnProgress>>]
    )
    .fetch_one(connection)
    .await
}

/// The columns of a batch's changes, one entry a row of the batch.
#[derive(Default)]
struct ChangeColumns {
    changed: Vec<bool>,
    from: Vec<Option<String>>,
    to: Vec<Option<String>>,
    epoch: Vec<Option<i64>>,
    causes: Vec<Option<String>>,
    seen: Vec<Option<bool>>,
    state: Vec<Option<String>>,
    metadata: Vec<Option<String>>,
    rule: Vec<Option<String>>,
    evidence: Vec<Option<String>>,
}

/// The event rows of a batch, each with the position of its change.
#[derive(Default)]
struct EventColumns {
    ord: Vec<i64>,
    id: Vec<uuid::Uuid>,
    event_type: Vec<String>,
    payload: Vec<String>,
    traceparent: Vec<Option<String>>,
}

fn change_columns(rows: &[VitalsRow]) -> (ChangeColumns, EventColumns) {
    let mut columns = ChangeColumns::default();
    let mut events = EventColumns::default();
    for (row, ord) in rows.iter().zip(1_i64..) {
        let change = row.change.as_ref();
        columns.changed.push(change.is_some());
        columns.from.push(change.map(|c| c.from.label().to_owned()));
        columns.to.push(change.map(|c| c.to.label().to_owned()));
        columns.epoch.push(change.map(|c| c.epoch.0));
        columns.causes.push(change.map(|c| c.causes.clone()));
        columns.seen.push(change.map(|c| c.full_beat_seen));
        columns.state.push(change.map(|c| c.runtime_state.clone()));
        columns
            .metadata
            .push(change.and_then(|c| c.runtime_metadata.clone()));
        columns.rule.push(change.map(|c| c.rule.to_owned()));
        columns.evidence.push(change.map(|c| c.evidence.clone()));
        for event in change.map(|c| c.events.as_slice()).unwrap_or_default() {
            events.ord.push(ord);
            events.id.push(event.id);
            events.event_type.push(event.event_type.to_owned());
            events.payload.push(event.payload.clone());
            events.traceparent.push(event.traceparent.clone());
        }
    }
    (columns, events)
}

/// Writes vitals and leases, and for rows with a change also status, causes,
/// event rows and history: all of a row or nothing of it.
///
/// # Errors
/// As [`write_steady`].
#[allow(clippy::too_many_lines)] // one statement
pub async fn write_changes(
    connection: &mut PgConnection,
    rows: &[VitalsRow],
    lease_seconds: f64,
) -> Result<Written, sqlx::Error> {
    let c = Columns::of(rows);
    let (h, e) = change_columns(rows);
    sqlx::query_scalar!(
        r#"WITH b AS MATERIALIZED (
             SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::float8[], $5::text[],
                         $6::int[], $7::int[], $8::int[], $9::text[], $10::bigint[],
                         $11::timestamptz[], $13::bool[], $14::text[], $15::text[], $16::text[],
                         $17::bool[], $18::text[], $19::text[], $20::text[], $21::text[], $27::bigint[],
                         $28::jsonb[])
               WITH ORDINALITY AS b(id, sv, av, error_rate, sample_error, active_tasks, uptime,
                                    last_uptime, current_task, spend, quiet, changed, from_status,
                                    to_status, causes, seen, state, metadata, rule, evidence, epoch,
                                    progress, ord)),
           locked AS MATERIALIZED (
             SELECT w.id FROM public.workspaces w JOIN b ON b.id = w.id
             WHERE b.changed AND coalesce(w.status::text, 'provisioning') = b.from_status
             ORDER BY w.id FOR NO KEY UPDATE OF w),
           u AS (
             UPDATE registry.workspace_vitals v SET
               last_heartbeat_at = now(),
               lease_until = greatest(v.lease_until, now() + make_interval(secs => $12),
                                      CASE WHEN b.quiet IS NOT NULL
                                        THEN least(b.quiet, now() + interval '30 minutes') END),
               last_error_rate = coalesce(b.error_rate, v.last_error_rate),
               last_sample_error = coalesce(b.sample_error, v.last_sample_error),
               active_tasks = coalesce(b.active_tasks, v.active_tasks),
               uptime_seconds = coalesce(b.uptime, v.uptime_seconds),
               last_uptime = coalesce(b.last_uptime, v.last_uptime),
               current_task = coalesce(b.current_task, v.current_task),
               turn_progress = coalesce(b.progress, v.turn_progress),
               monthly_spend = CASE
                 WHEN b.spend IS NULL THEN v.monthly_spend
                 WHEN v.spend_month = date_trunc('month', now() AT TIME ZONE 'UTC')::date
                   THEN greatest(v.monthly_spend, b.spend)
                 ELSE b.spend END,
               spend_month = CASE WHEN b.spend IS NULL THEN v.spend_month
                 ELSE date_trunc('month', now() AT TIME ZONE 'UTC')::date END,
               -- A status that moves raises the version by its own trigger.
               state_version = v.state_version
                 + CASE WHEN b.changed AND b.from_status = b.to_status THEN 1 ELSE 0 END,
               causes = CASE WHEN b.changed THEN b.causes::jsonb ELSE v.causes END,
               epoch = greatest(v.epoch, b.epoch),
               full_beat_seen = coalesce(b.seen, v.full_beat_seen),
               runtime_state = coalesce(b.state, v.runtime_state),
               runtime_metadata = CASE WHEN b.changed THEN b.metadata::jsonb
                                       ELSE v.runtime_metadata END
             FROM b LEFT JOIN locked l ON l.id = b.id
             WHERE v.id = b.id AND v.state_version = b.sv AND v.auth_version = b.av
               AND (NOT b.changed OR l.id IS NOT NULL)
               AND (b.changed OR coalesce(b.last_uptime >= v.last_uptime, true))
             RETURNING b.ord),
           -- After the locks of `u`: later than what was committed before them.
           t AS MATERIALIZED (SELECT clock_timestamp() AS at FROM (SELECT count(*) FROM u) done),
           s AS (
             UPDATE public.workspaces w
             SET status = b.to_status::public.workspace_status, updated_at = now()
             FROM b JOIN u ON u.ord = b.ord
             WHERE w.id = b.id AND b.changed AND b.from_status <> b.to_status),
           e AS (
             INSERT INTO public.structure_events
               (id, event_type, workspace_id, payload, created_at, traceparent)
             -- Times of one workspace's events rise in their order, whatever order
             -- the join gives: the sequencer numbers by time.
             SELECT x.id, x.event_type, b.id, x.payload::jsonb,
                    t.at + row_number() OVER (PARTITION BY x.ord ORDER BY x.n) * interval '1 microsecond',
                    x.traceparent
             FROM unnest($22::bigint[], $23::uuid[], $24::text[], $25::text[], $26::text[])
                    WITH ORDINALITY AS x(ord, id, event_type, payload, traceparent, n)
             JOIN u ON u.ord = x.ord JOIN b ON b.ord = x.ord CROSS JOIN t),
           d AS (
             INSERT INTO registry.decisions
               (workspace_id, rule, from_status, to_status, evidence, state_version, event_id)
             SELECT b.id, b.rule, b.from_status::public.workspace_status,
                    b.to_status::public.workspace_status, b.evidence, b.sv + 1,
                    (SELECT min(x.id::text)::uuid FROM unnest($22::bigint[], $23::uuid[]) AS x(ord, id)
                     WHERE x.ord = b.ord)
             FROM b JOIN u ON u.ord = b.ord WHERE b.changed AND b.rule <> 'steady')
           SELECT CASE WHEN count(*) = cardinality($1::uuid[]) THEN NULL
                       ELSE coalesce(array_agg(ord), '{}') END AS ords FROM u"#,
        &c.id,
        &c.state_version,
        &c.auth_version,
        &c.error_rate as &[Option<f64>],
        &c.sample_error as &[Option<&str>],
        &c.active_tasks as &[Option<i32>],
        &c.uptime as &[Option<i32>],
        &c.last_uptime as &[Option<i32>],
        &c.current_task as &[Option<&str>],
        &c.spend as &[Option<i64>],
        &c.quiet as &[Option<DateTime<Utc>>],
        lease_seconds,
        &h.changed,
        &h.from as &[Option<String>],
        &h.to as &[Option<String>],
        &h.causes as &[Option<String>],
        &h.seen as &[Option<bool>],
        &h.state as &[Option<String>],
        &h.metadata as &[Option<String>],
        &h.rule as &[Option<String>],
        &h.evidence as &[Option<String>],
        &e.ord,
        &e.id,
        &e.event_type,
        &e.payload,
        &e.traceparent as &[Option<String>],
        &h.epoch as &[Option<i64>],
        &c.progress as &[Option<Json<TurnProgress>>]
    )
    .fetch_one(connection)
    .await
}
