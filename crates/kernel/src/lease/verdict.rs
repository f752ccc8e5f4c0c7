//! What Candor concludes now: finer than the status, with reasons.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{LeasePolicy, Liveness};
use crate::causes::{CauseKind, Causes};
use crate::decision::WorkspaceState;
use crate::status::Status;

/// From here on without a task an agent counts as idle.
const IDLE_AFTER: Duration = Duration::from_secs(300);

/// The conclusion. `Healthy` to `Dead` are for workspaces that should be
/// alive; the others repeat the status in the words of people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Alive, and nothing speaks against it.
    Healthy,
    /// Alive, with calls in progress.
    Busy,
    /// Alive, without a call for five minutes.
    Idle,
    /// Its lease ended a moment ago.
    Suspect,
    /// It says that it cannot answer.
    Wedged,
    /// Its calls fail too often.
    Erroring,
    /// It beats, but was seen not to answer.
    Unresponsive,
    /// It beats, but its address cannot be reached.
    Unreachable,
    /// Degraded for a reason that nobody recorded.
    Degraded,
    /// Silent past its grace, or offline.
    Dead,
    /// An instance is being made.
    Starting,
    /// Waits for an agent that somebody else starts.
    Waiting,
    /// It could not be started.
    Failed,
    /// Stopped by a person.
    Paused,
    /// On its way to sleep.
    Hibernating,
    /// Asleep.
    Hibernated,
    /// Deleted.
    Removed,
}

impl Verdict {
    /// The word for people and for JSON.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Busy => "busy",
            Self::Idle => "idle",
            Self::Suspect => "suspect",
            Self::Wedged => "wedged",
            Self::Erroring => "erroring",
            Self::Unresponsive => "unresponsive",
            Self::Unreachable => "unreachable",
            Self::Degraded => "degraded",
            Self::Dead => "dead",
            Self::Starting => "starting",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
            Self::Paused => "paused",
            Self::Hibernating => "hibernating",
            Self::Hibernated => "hibernated",
            Self::Removed => "removed",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// What is known beside the state; leave out what is not.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct VitalFacts<'a> {
    /// Until when the last beat is good; none if it never beat.
    pub lease_until: Option<DateTime<Utc>>,
    /// When the last beat came.
    pub last_beat_at: Option<DateTime<Utc>>,
    /// Calls in progress, by its own word.
    pub active_tasks: i32,
    /// Its error rate, by its own word.
    pub error_rate: f64,
    /// The last error it told.
    pub sample_error: &'a str,
    /// Whether its address could be reached, if that was tried.
    pub reachable: Option<bool>,
    /// Since when it has no task, if that is known.
    pub idle_since: Option<DateTime<Utc>>,
}

/// The verdict with its reasons, the decisive one first.
#[must_use]
pub fn verdict(
    state: &WorkspaceState,
    facts: &VitalFacts<'_>,
    policy: &LeasePolicy,
    now: DateTime<Utc>,
) -> (Verdict, Vec<String>) {
    match state.status {
        Status::Online | Status::Degraded => alive(state, facts, policy, now),
        Status::Offline => (Verdict::Dead, vec![silence(facts, now)]),
        Status::Provisioning => (
            Verdict::Starting,
            vec!["its instance has not called yet".to_owned()],
        ),
        Status::AwaitingAgent => (
            Verdict::Waiting,
            vec!["no agent has called for it yet".to_owned()],
        ),
        Status::Failed => (
            Verdict::Failed,
            told(facts.sample_error)
                .map(str::to_owned)
                .into_iter()
                .collect(),
        ),
        Status::Paused => (Verdict::Paused, vec!["stopped by an operator".to_owned()]),
        Status::Hibernating => (
            Verdict::Hibernating,
            vec!["being stopped for idleness".to_owned()],
        ),
        Status::Hibernated => (
            Verdict::Hibernated,
            vec!["stopped for idleness; the next call wakes it".to_owned()],
        ),
        Status::Removed => (Verdict::Removed, vec!["deleted".to_owned()]),
    }
}

fn alive(
    state: &WorkspaceState,
    facts: &VitalFacts<'_>,
    policy: &LeasePolicy,
    now: DateTime<Utc>,
) -> (Verdict, Vec<String>) {
    let mut findings: Vec<(Verdict, String)> = Vec::new();
    let liveness = policy.liveness(facts.lease_until, state.external, now);
    if liveness == Liveness::Dead {
        findings.push((Verdict::Dead, silence(facts, now)));
    }
    findings.extend(causes(&state.causes, facts));
    if state.status == Status::Degraded && state.causes.is_empty() {
        findings.push((
            Verdict::Degraded,
            "nobody recorded why it is degraded".to_owned(),
        ));
    }
    if liveness == Liveness::Suspect {
        findings.push((Verdict::Suspect, silence(facts, now)));
    }
    if facts.reachable == Some(false) {
        findings.push((
            Verdict::Unreachable,
            "its address cannot be reached".to_owned(),
        ));
    }
    if facts.active_tasks > 0 {
        findings.push((
            Verdict::Busy,
            format!("{} calls in progress", facts.active_tasks),
        ));
    } else if let Some(idle) = facts.idle_since.map(|since| elapsed(since, now))
        && idle >= IDLE_AFTER
    {
        findings.push((Verdict::Idle, format!("no call for {} s", idle.as_secs())));
    }
    let decisive = findings
        .first()
        .map_or(Verdict::Healthy, |(verdict, _)| *verdict);
    (
        decisive,
        findings.into_iter().map(|(_, reason)| reason).collect(),
    )
}

fn causes<'a>(
    causes: &'a Causes,
    facts: &'a VitalFacts<'_>,
) -> impl Iterator<Item = (Verdict, String)> + 'a {
    [
        CauseKind::Wedged,
        CauseKind::Unresponsive,
        CauseKind::ErrorRate,
        CauseKind::Unknown,
    ]
    .into_iter()
    .filter_map(|kind| causes.get(kind).map(|cause| (kind, cause)))
    .map(|(kind, cause)| {
        let (verdict, claim) = match kind {
            CauseKind::Wedged => (Verdict::Wedged, "it says it is wedged".to_owned()),
            CauseKind::Unresponsive => (
                Verdict::Unresponsive,
                "it was seen not to answer".to_owned(),
            ),
            CauseKind::ErrorRate => (
                Verdict::Erroring,
                format!("its error rate is {}", facts.error_rate),
            ),
            CauseKind::Unknown => (Verdict::Degraded, "cause unknown".to_owned()),
        };
        let reason = told(&cause.evidence).map_or(claim.clone(), |e| format!("{claim}: {e}"));
        (verdict, reason)
    })
}

fn silence(facts: &VitalFacts<'_>, now: DateTime<Utc>) -> String {
    match facts.last_beat_at {
        Some(last) => format!("last beat {} s ago", elapsed(last, now).as_secs()),
        None => "it never beat".to_owned(),
    }
}

fn elapsed(since: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    // A time in the future means clocks that differ a little: no time passed.
    (now - since).to_std().unwrap_or_default()
}

fn told(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}
