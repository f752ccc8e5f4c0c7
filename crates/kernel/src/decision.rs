//! The one function that decides about status (design: section 5).
//!
//! [`decide`] is pure: it reads a [`WorkspaceState`] and an [`Occurrence`] and
//! says what is to be written. Whoever persists a [`Decision`] compares and
//! sets on (`state_version`, status) and writes its events in the same
//! transaction; if another writer was first, it re-reads and decides again.

mod draft;
mod event;
mod occurrence;
mod on_beat;
mod on_creation;
mod on_observation;
mod on_register;
mod on_request;
mod payload;
mod state;
mod vitals;

use chrono::{DateTime, Utc};

use crate::error::{Error, Reason};
use crate::rules::RuleId;
use crate::status::Status;
use draft::Draft;

pub use event::{EventType, StructureEvent};
pub use occurrence::{Creation, CreationKind, Occurrence, Profile};
pub use payload::json_number;
pub use state::WorkspaceState;
pub use vitals::{MAX_MONTHLY_SPEND, MAX_QUIET_SECONDS, VitalsWrite, beat_writes, is_full};

/// What is to be done about one occurrence.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The row of the status table that decided; [`RuleId::Steady`] if none
    /// applied.
    pub rule: RuleId,
    /// The state to compare and set. `Some` exactly when something that other
    /// decisions depend on changes, so that `state_version` must rise.
    pub next: Option<Box<WorkspaceState>>,
    /// Rows of `structure_events`, in order, for the same transaction.
    pub events: Vec<StructureEvent>,
    /// What the caller is told.
    pub outcome: Outcome,
}

/// How an occurrence was taken.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Taken. Vitals, url and agent card that came along are to be written,
    /// even if [`Decision::next`] is none.
    Applied,
    /// The caller is superseded: answered, without any effect.
    Stale,
    /// The workspace is removed: answered, without any effect (rule R18).
    Removed,
    /// The state machine forbids it now.
    Refused(Error),
}

impl Outcome {
    /// True if what came along is to be written.
    #[must_use]
    pub const fn is_applied(&self) -> bool {
        matches!(self, Self::Applied)
    }
    /// The error for callers whose request had no effect, for occurrences
    /// that must answer one: refusals, and anything about a removed workspace.
    #[must_use]
    pub fn error(&self) -> Option<Error> {
        match self {
            Self::Applied | Self::Stale => None,
            Self::Removed => Some(Error::new(
                Reason::WorkspaceRemoved,
                "workspace was removed",
            )),
            Self::Refused(error) => Some(error.clone()),
        }
    }
}

impl Decision {
    /// True if the status is another one afterwards.
    #[must_use]
    pub fn changes_status(&self, before: &WorkspaceState) -> bool {
        self.next
            .as_ref()
            .is_some_and(|next| next.status != before.status)
    }

    fn without_effect(rule: RuleId, outcome: Outcome) -> Self {
        Self {
            rule,
            next: None,
            events: Vec::new(),
            outcome,
        }
    }
    fn refused(rule: RuleId, reason: Reason, text: &'static str) -> Self {
        Self::without_effect(rule, Outcome::Refused(Error::new(reason, text)))
    }
}

/// Decides one occurrence. `now` is Postgres' time, never a replica's.
#[must_use]
pub fn decide(state: &WorkspaceState, occurrence: &Occurrence<'_>, now: DateTime<Utc>) -> Decision {
    if let Occurrence::Created(creation) = occurrence {
        return on_creation::created(creation);
    }
    if state.status == Status::Removed {
        return Decision::without_effect(RuleId::R18, Outcome::Removed);
    }
    let draft = Draft::open(state, now);
    match *occurrence {
        Occurrence::Created(ref creation) => on_creation::created(creation),
        Occurrence::Registered {
            caller,
            url,
            agent_card,
        } => on_register::registered(draft, caller, url, agent_card),
        Occurrence::Beat { caller, beat } => on_beat::beat(draft, caller, beat, now),
        Occurrence::ObservedUnresponsive { evidence } => {
            on_observation::unresponsive(draft, evidence, now)
        }
        Occurrence::ObservedAnswer => on_observation::answered(draft),
        Occurrence::LeaseDead | Occurrence::InstanceGone => on_observation::lost(draft),
        Occurrence::StartFailed { error, missing } => {
            on_observation::not_started(draft, payload::start_failed(error, missing))
        }
        Occurrence::ProvisionTimeout {
            error,
            runtime,
            timeout_secs,
        } => {
            let payload = payload::provision_timeout(error, runtime, timeout_secs);
            on_observation::not_started(draft, payload)
        }
        Occurrence::BootstrapFailed { error, log_tail } => {
            on_observation::not_started(draft, payload::bootstrap_failed(error, log_tail))
        }
        Occurrence::RestartRequested { profile, backend } => {
            on_request::restart(draft, &profile, backend)
        }
        Occurrence::PauseRequested { name } => on_request::pause(draft, name),
        Occurrence::ResumeRequested { profile, backend } => {
            on_request::resume(draft, &profile, backend)
        }
        Occurrence::HibernateRequested => on_request::hibernate(draft),
        Occurrence::Hibernated { name, tier } => on_observation::hibernated(draft, name, tier),
        Occurrence::HibernateFailed => on_observation::not_hibernated(draft),
        Occurrence::Removed { cascade } => on_request::remove(draft, cascade),
    }
}
