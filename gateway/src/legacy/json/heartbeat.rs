//! The body of `POST /registry/heartbeat`, the busiest request there is: one pass, nothing copied but what is kept.

use super::bind::{BindError, Malformed};
use super::scan;
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

/// What a beat says. `None` is absent or `null`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HeartbeatFields {
    /// Who beats; never empty. Not yet checked to be a UUID.
    pub workspace_id: String,
    /// Share of failed calls as the agent counts them; its range is the handler's to judge.
    pub error_rate: Option<f64>,
    /// An example of what failed.
    pub sample_error: Option<String>,
    /// Tasks running now.
    pub active_tasks: Option<i32>,
    /// Age of the agent's process, in seconds.
    pub uptime_seconds: Option<i32>,
    /// What the agent works on, for people.
    pub current_task: Option<String>,
    /// Spend of this month, in US cents.
    pub monthly_spend: Option<i64>,
    /// The runtime's own word on its health.
    pub runtime_state: Option<String>,
    /// What the runtime says of itself.
    pub runtime_metadata: Option<RuntimeMetadata>,
    /// No beat is to be expected before then (design section 6); Candor's own addition.
    pub expect_quiet_until: Option<DateTime<Utc>>,
    /// How far the agent has come; Candor's own addition.
    pub turn_progress: Option<TurnProgress>,
}

/// `turn_progress` of a beat: counts since the agent's process started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TurnProgress {
    /// Turns that began.
    pub begun: u64,
    /// Turns that have an answer.
    pub answered: u64,
    /// Turns that failed.
    pub failed: u64,
    /// Pieces of answers and uses of tools.
    pub moved: u64,
}

/// `runtime_metadata` of a beat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeMetadata {
    /// What the runtime does natively, by name.
    pub capabilities: Option<BTreeMap<String, bool>>,
    /// How long the runtime wants to stay idle before it is put to sleep, in seconds.
    pub idle_timeout_seconds: Option<i32>,
}

#[derive(Clone, Copy)]
enum Field {
    WorkspaceId,
    ErrorRate,
    SampleError,
    ActiveTasks,
    UptimeSeconds,
    CurrentTask,
    MonthlySpend,
    RuntimeState,
    RuntimeMetadata,
    ExpectQuietUntil,
    TurnProgress,
}

const FIELDS: [(&str, Field); 11] = [
    ("workspace_id", Field::WorkspaceId),
    ("error_rate", Field::ErrorRate),
    ("sample_error", Field::SampleError),
    ("active_tasks", Field::ActiveTasks),
    ("uptime_seconds", Field::UptimeSeconds),
    ("current_task", Field::CurrentTask),
    ("monthly_spend", Field::MonthlySpend),
    ("runtime_state", Field::RuntimeState),
    ("runtime_metadata", Field::RuntimeMetadata),
    ("expect_quiet_until", Field::ExpectQuietUntil),
    ("turn_progress", Field::TurnProgress),
];

/// Raw values by field; the last duplicate overwrites, and only what is left at the end is decoded.
#[derive(Default)]
struct Slots<'de> {
    workspace_id: Option<&'de str>,
    error_rate: Option<&'de str>,
    sample_error: Option<&'de str>,
    active_tasks: Option<&'de str>,
    uptime_seconds: Option<&'de str>,
    current_task: Option<&'de str>,
    monthly_spend: Option<&'de str>,
    runtime_state: Option<&'de str>,
    runtime_metadata: Option<&'de str>,
    expect_quiet_until: Option<&'de str>,
    turn_progress: Option<&'de str>,
}

impl<'de> Slots<'de> {
    fn put(&mut self, field: Field, raw: &'de str) {
        let slot = match field {
            Field::WorkspaceId => &mut self.workspace_id,
            Field::ErrorRate => &mut self.error_rate,
            Field::SampleError => &mut self.sample_error,
            Field::ActiveTasks => &mut self.active_tasks,
            Field::UptimeSeconds => &mut self.uptime_seconds,
            Field::CurrentTask => &mut self.current_task,
            Field::MonthlySpend => &mut self.monthly_spend,
            Field::RuntimeState => &mut self.runtime_state,
            Field::RuntimeMetadata => &mut self.runtime_metadata,
            Field::ExpectQuietUntil => &mut self.expect_quiet_until,
            Field::TurnProgress => &mut self.turn_progress,
        };
        *slot = Some(raw);
    }
}

/// Reads the body of a beat.
///
/// # Errors
/// [`BindError::OutOfRange`] names the integer that 32 bits cannot hold; everything else is [`BindError::Malformed`].
/// A body with both is malformed.
pub fn parse_heartbeat(body: &[u8]) -> Result<HeartbeatFields, BindError> {
    let text = scan::text_of(body);
    let mut slots = Slots::default();
    scan::chosen_members(&text, known_field, |field, raw| slots.put(field, raw))?;
    // Types before ranges: a reason is only given for a body that is otherwise right.
    let mut fields = HeartbeatFields {
        workspace_id: read(slots.workspace_id, scan::string)?
            .filter(|id| !id.is_empty())
            .ok_or(Malformed)?,
        error_rate: read(slots.error_rate, scan::float)?,
        sample_error: read(slots.sample_error, scan::string)?,
        current_task: read(slots.current_task, scan::string)?,
        monthly_spend: read(slots.monthly_spend, scan::integer)?,
        runtime_state: read(slots.runtime_state, scan::string)?,
        expect_quiet_until: read(slots.expect_quiet_until, time)?,
        turn_progress: read(slots.turn_progress, turn_progress)?,
        ..HeartbeatFields::default()
    };
    let active_tasks = small(slots.active_tasks, "active_tasks");
    let uptime_seconds = small(slots.uptime_seconds, "uptime_seconds");
    let metadata = slots.runtime_metadata.map_or(Ok(None), runtime_metadata);
    if [
        active_tasks.err(),
        uptime_seconds.err(),
        metadata.as_ref().err().copied(),
    ]
    .contains(&Some(BindError::Malformed))
    {
        return Err(BindError::Malformed);
    }
    fields.active_tasks = active_tasks?;
    fields.uptime_seconds = uptime_seconds?;
    fields.runtime_metadata = metadata?;
    Ok(fields)
}

fn known_field(given: &str) -> Option<Field> {
    FIELDS
        .iter()
        .find(|(name, _)| scan::same_name(given, name))
        .map(|(_, field)| *field)
}

fn read<T>(
    slot: Option<&str>,
    decode: fn(&str) -> Result<Option<T>, Malformed>,
) -> Result<Option<T>, Malformed> {
    slot.map_or(Ok(None), decode)
}

fn turn_progress(raw: &str) -> Result<Option<TurnProgress>, Malformed> {
    if raw == "null" {
        return Ok(None);
    }
    let mut progress = TurnProgress::default();
    let mut wrong = false;
    scan::members(raw, |name, value| {
        let slot = match &*name {
            "begun" => &mut progress.begun,
            "answered" => &mut progress.answered,
            "failed" => &mut progress.failed,
            "moved" => &mut progress.moved,
            _ => return,
        };
        match value.parse() {
            Ok(count) => *slot = count,
            Err(_) => wrong = true,
        }
    })?;
    if wrong {
        Err(Malformed)
    } else {
        Ok(Some(progress))
    }
}

/// RFC 3339.
fn time(raw: &str) -> Result<Option<DateTime<Utc>>, Malformed> {
    scan::string(raw)?
        .map(|text| DateTime::parse_from_rfc3339(&text).map(|time| time.to_utc()))
        .transpose()
        .map_err(|_| Malformed)
}

fn small(slot: Option<&str>, field: &'static str) -> Result<Option<i32>, BindError> {
    slot.map_or(Ok(None), |raw| scan::integer_i32(raw, field))
}

fn runtime_metadata(raw: &str) -> Result<Option<RuntimeMetadata>, BindError> {
    if raw == "null" {
        return Ok(None);
    }
    let (mut capabilities, mut idle) = (None, None);
    scan::members(raw, |name, value| {
        if scan::same_name(&name, "capabilities") {
            capabilities = Some(value);
        } else if scan::same_name(&name, "idle_timeout_seconds") {
            idle = Some(value);
        }
    })?;
    let capabilities = capabilities.map_or(Ok(None), flags)?;
    Ok(Some(RuntimeMetadata {
        capabilities,
        idle_timeout_seconds: small(idle, "idle_timeout_seconds")?,
    }))
}

fn flags(raw: &str) -> Result<Option<BTreeMap<String, bool>>, Malformed> {
    if raw == "null" {
        return Ok(None);
    }
    let mut last = BTreeMap::new();
    scan::members(raw, |name, value| {
        last.insert(name.into_owned(), value);
    })?;
    let decoded: Result<BTreeMap<_, _>, Malformed> = last
        .into_iter()
        .map(|(name, value)| Ok((name, scan::boolean(value)?.unwrap_or_default())))
        .collect();
    decoded.map(Some)
}
