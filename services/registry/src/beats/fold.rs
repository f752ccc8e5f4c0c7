//! Folds the beats of one workspace, in arrival order, into one row.

use candor_kernel::decision::beat_writes;
use candor_kernel::{Beat, Error, Occurrence, Outcome, WorkspaceCaller, WorkspaceState, decide};
use candor_process::telemetry::propagation::TraceParent;
use chrono::{DateTime, Utc};

use super::BeatOutcome;
use crate::store::beats::{Change, EventRow, VitalsRow};
use crate::store::decisions;
use crate::store::state::Loaded;

/// One beat to fold.
pub(super) struct Arrival<'a> {
    pub caller: &'a WorkspaceCaller,
    pub beat: &'a Beat,
    pub traceparent: Option<TraceParent>,
}

/// What the beats of one workspace come to.
pub(super) struct Folded {
    /// None when no beat had an effect.
    pub row: Option<VitalsRow>,
    /// The state after them, once the row is written.
    pub state: WorkspaceState,
    /// One answer a beat, in order; valid once the row is written.
    pub answers: Vec<Result<BeatOutcome, Error>>,
}

/// Decides beat by beat; later values win, events add up.
pub(super) fn fold(
    before: &Loaded,
    arrivals: &[Arrival<'_>],
    now: DateTime<Utc>,
) -> Result<Folded, Error> {
    let mut state = before.state.clone();
    let mut row: Option<VitalsRow> = None;
    let mut answers = Vec::with_capacity(arrivals.len());
    for arrival in arrivals {
        let occurrence = Occurrence::Beat {
            caller: arrival.caller,
            beat: arrival.beat,
        };
        let decision = decide(&state, &occurrence, now);
        let epoch = decision
            .next
            .as_ref()
            .map_or(state.epoch, |next| next.epoch);
        answers.push(match &decision.outcome {
            Outcome::Applied => Ok(BeatOutcome::Applied { epoch }),
            Outcome::Stale => Ok(BeatOutcome::Superseded { epoch: state.epoch }),
            Outcome::Removed => Ok(BeatOutcome::Removed),
            Outcome::Refused(error) => Err(error.clone()),
        });
        if !decision.outcome.is_applied() {
            continue;
        }
        let row = row.get_or_insert_with(|| empty(before, arrival.caller));
        merge_vitals(row, &state, arrival, now);
        let seen = row.last_uptime;
        if let Some(next) = decision.next {
            let change = row.change.get_or_insert_with(|| unchanged(&before.state));
            change.rule = decision.rule.code();
            change.evidence = decisions::evidence(arrival.beat.sample_error.as_deref());
            for event in decision.events {
                change.events.push(EventRow {
                    id: uuid::Uuid::now_v7(),
                    event_type: event.event_type.label(),
                    payload: event.payload,
                    traceparent: arrival.traceparent.map(|parent| parent.to_string()),
                });
            }
            state = *next;
        }
        if seen.is_some() {
            state.last_uptime = seen;
        }
    }
    if let Some(change) = row.as_mut().and_then(|row| row.change.as_mut()) {
        write_state(change, &state)?;
    }
    Ok(Folded {
        row,
        state,
        answers,
    })
}

fn empty(before: &Loaded, caller: &WorkspaceCaller) -> VitalsRow {
    VitalsRow {
        id: before.id,
        state_version: before.state_version,
        auth_version: caller.auth_version,
        error_rate: None,
        sample_error: None,
        active_tasks: None,
        uptime_seconds: None,
        last_uptime: None,
        current_task: None,
        monthly_spend: None,
        expect_quiet_until: None,
        turn_progress: None,
        change: None,
    }
}

fn merge_vitals(
    row: &mut VitalsRow,
    state: &WorkspaceState,
    arrival: &Arrival<'_>,
    now: DateTime<Utc>,
) {
    let writes = beat_writes(state, arrival.beat, now);
    row.error_rate = writes.error_rate.or(row.error_rate);
    row.active_tasks = writes.active_tasks.or(row.active_tasks);
    row.uptime_seconds = writes.uptime_seconds.or(row.uptime_seconds);
    row.last_uptime = writes.uptime_seen.or(row.last_uptime);
    row.monthly_spend = writes.monthly_spend.max(row.monthly_spend);
    row.expect_quiet_until = writes.expect_quiet_until.max(row.expect_quiet_until);
    row.turn_progress = writes.turn_progress.or(row.turn_progress);
    if let Some(text) = writes.sample_error {
        row.sample_error = Some(text.to_owned());
    }
    if let Some(text) = writes.current_task {
        row.current_task = Some(text.to_owned());
    }
}

fn unchanged(before: &WorkspaceState) -> Change {
    Change {
        from: before.status,
        to: before.status,
        epoch: before.epoch,
        causes: String::new(),
        full_beat_seen: before.full_beat_seen,
        runtime_state: String::new(),
        runtime_metadata: None,
        rule: "",
        evidence: String::new(),
        events: Vec::new(),
    }
}

fn write_state(change: &mut Change, state: &WorkspaceState) -> Result<(), Error> {
    change.to = state.status;
    change.epoch = state.epoch;
    change.causes = serde_json::to_string(&state.causes).map_err(Error::internal)?;
    change.full_beat_seen = state.full_beat_seen;
    change.runtime_state.clone_from(&state.runtime_state.0);
    change.runtime_metadata = state
        .runtime_metadata
        .as_ref()
        .map(serde_json::to_string)
        .transpose()
        .map_err(Error::internal)?;
    Ok(())
}
