//! What a beat writes beside the decided state.

use chrono::{DateTime, TimeDelta, Utc};

use super::state::WorkspaceState;
use crate::beat::{Beat, BeatForm, TurnProgress};

/// The highest monthly spend that is stored, in US cents.
pub const MAX_MONTHLY_SPEND: i64 = 1_000_000_000_000;
/// The longest announced silence, in seconds (design: section 6).
pub const MAX_QUIET_SECONDS: i64 = 30 * 60;

/// Columns a beat writes; `None` leaves what is stored. The lease is renewed
/// by every beat that has an effect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VitalsWrite<'a> {
    /// A full beat, not a partial one.
    pub full: bool,
    /// Share of failed calls.
    pub error_rate: Option<f64>,
    /// One error, in the agent's words.
    pub sample_error: Option<&'a str>,
    /// Calls in progress.
    pub active_tasks: Option<i32>,
    /// Seconds since the agent's process started, as shown.
    pub uptime_seconds: Option<i32>,
    /// The uptime that tells incarnations apart
    /// ([`WorkspaceState::last_uptime`]): only if a full beat carried one.
    pub uptime_seen: Option<i32>,
    /// What it works on.
    pub current_task: Option<&'a str>,
    /// Cumulative US cents this month, 1 to [`MAX_MONTHLY_SPEND`].
    pub monthly_spend: Option<i64>,
    /// Announced silence, at most [`MAX_QUIET_SECONDS`] from now.
    pub expect_quiet_until: Option<DateTime<Utc>>,
    /// How far it has come.
    pub turn_progress: Option<TurnProgress>,
}

/// True if the beat speaks for the whole instance; a partial one only updates
/// the task and never removes a cause (design: section 5, "Partial beats").
#[must_use]
pub fn is_full(state: &WorkspaceState, beat: &Beat) -> bool {
    match beat.form {
        BeatForm::Typed => beat.error_rate.is_some() && beat.uptime_seconds.is_some(),
        BeatForm::LegacyJson => {
            !(state.full_beat_seen
                && beat.uptime_seconds == Some(0)
                && beat.runtime_state.is_none()
                && beat.runtime_metadata.is_none())
        }
    }
}

/// What this beat writes beside [`super::Decision::next`], if its outcome is
/// applied.
#[must_use]
pub fn beat_writes<'a>(
    state: &WorkspaceState,
    beat: &'a Beat,
    now: DateTime<Utc>,
) -> VitalsWrite<'a> {
    let full = is_full(state, beat);
    let expect_quiet_until = beat
        .expect_quiet_until
        .map(|until| until.min(now + TimeDelta::seconds(MAX_QUIET_SECONDS)));
    let monthly_spend = beat
        .monthly_spend
        .map(|cents| cents.clamp(0, MAX_MONTHLY_SPEND))
        .filter(|cents| *cents > 0);
    let present = VitalsWrite {
        full,
        error_rate: beat.error_rate,
        sample_error: beat.sample_error.as_deref(),
        active_tasks: beat.active_tasks,
        uptime_seconds: beat.uptime_seconds,
        uptime_seen: beat.uptime_seconds.filter(|_| full),
        current_task: beat.current_task.as_deref(),
        monthly_spend,
        expect_quiet_until,
        turn_progress: beat.turn_progress,
    };
    match (beat.form, full) {
        (BeatForm::Typed, _) => present,
        (BeatForm::LegacyJson, true) => VitalsWrite {
            error_rate: present.error_rate.or(Some(0.0)),
            sample_error: present.sample_error.or(Some("")),
            active_tasks: present.active_tasks.or(Some(0)),
            uptime_seconds: present.uptime_seconds.or(Some(0)),
            current_task: present.current_task.or(Some("")),
            ..present
        },
        (BeatForm::LegacyJson, false) => VitalsWrite {
            error_rate: None,
            sample_error: None,
            active_tasks: present.active_tasks.or(Some(0)),
            uptime_seconds: None,
            current_task: present.current_task.or(Some("")),
            monthly_spend: None,
            ..present
        },
    }
}
