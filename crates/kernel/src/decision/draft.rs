//! A decision in the making.

use chrono::{DateTime, Utc};

use super::event::{EventType, StructureEvent};
use super::state::WorkspaceState;
use super::{Decision, Outcome};
use crate::rules::RuleId;
use crate::status::Status;

/// The state before and the state to be, with the events on the way.
pub(super) struct Draft<'a> {
    /// As it was read.
    pub before: &'a WorkspaceState,
    /// As it will be, if the decision is applied.
    pub after: WorkspaceState,
    /// The version must rise even if nothing else differs.
    pub new_incarnation: bool,
    events: Vec<StructureEvent>,
}

impl<'a> Draft<'a> {
    /// Begins with the state as read, reconciled with a status that was set
    /// by hand.
    pub(super) fn open(before: &'a WorkspaceState, now: DateTime<Utc>) -> Self {
        let mut after = before.clone();
        after.adopt(now);
        Self {
            before,
            after,
            new_incarnation: false,
            events: Vec::new(),
        }
    }
    /// The status before.
    pub(super) const fn from(&self) -> Status {
        self.before.status
    }
    /// Adds an event.
    pub(super) fn emit(&mut self, event_type: EventType, payload: String) {
        self.events.push(StructureEvent::new(event_type, payload));
    }
    /// Moves on, with the event that tells it.
    pub(super) fn go(
        mut self,
        rule: RuleId,
        to: Status,
        event: EventType,
        payload: String,
    ) -> Decision {
        self.after.status = to;
        self.emit(event, payload);
        self.finish(rule)
    }
    /// The decision: a next state only if one is needed.
    pub(super) fn finish(self, rule: RuleId) -> Decision {
        let changed = self.new_incarnation || !self.after.decides_like(self.before);
        Decision {
            rule,
            next: changed.then(|| Box::new(self.after)),
            events: self.events,
            outcome: Outcome::Applied,
        }
    }
}
