//! What decisions depend on.

use chrono::{DateTime, Utc};

use crate::beat::RuntimeMetadata;
use crate::caller::WorkspaceCaller;
use crate::causes::{CauseKind, Causes};
use crate::id::Epoch;
use crate::status::{RuntimeState, Status};

/// The evidence of cause `unknown`.
const ADOPTED: &str = "the row was degraded, and nobody recorded why";

/// The compare-and-set part of a workspace: what a decision reads and what it
/// may change.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkspaceState {
    /// The state machine's state.
    pub status: Status,
    /// The current instance.
    pub epoch: Epoch,
    /// The lowest epoch whose calls may still change anything; 0 as long as
    /// nothing was ever provisioned.
    pub fence_epoch: Epoch,
    /// Why it is degraded; kept while it is offline.
    pub causes: Causes,
    /// Stored flag: a full beat with uptime > 0 was seen from this instance.
    pub full_beat_seen: bool,
    /// The last uptime, in seconds, that was present in a full beat. Written
    /// with the vitals; a change of it alone does not raise `state_version`.
    pub last_uptime: Option<i32>,
    /// The workspace's own word about itself.
    pub runtime_state: RuntimeState,
    /// What the runtime declared about itself.
    pub runtime_metadata: Option<RuntimeMetadata>,
    /// Somebody else starts its agent (`runtime` is `external`).
    pub external: bool,
}

impl WorkspaceState {
    /// The state before anything happened: for [`super::Occurrence::Created`],
    /// and for the register of an id that has no row yet.
    #[must_use]
    pub fn unborn(external: bool) -> Self {
        Self {
            status: Status::Provisioning,
            epoch: Epoch(0),
            fence_epoch: Epoch(0),
            causes: Causes::default(),
            full_beat_seen: false,
            last_uptime: None,
            runtime_state: RuntimeState::default(),
            runtime_metadata: None,
            external,
        }
    }

    /// Reconciles a status that was set by hand with the causes: a degraded
    /// row without any gets cause `unknown`, and an online row drops what was
    /// left. True if something changed.
    ///
    /// [`super::decide`] does this itself before it decides.
    pub fn adopt(&mut self, now: DateTime<Utc>) -> bool {
        match self.status {
            Status::Degraded if self.causes.is_empty() => {
                self.causes.insert(CauseKind::Unknown, ADOPTED, now);
                true
            }
            Status::Online if !self.causes.is_empty() => {
                self.causes = Causes::default();
                true
            }
            _ => false,
        }
    }

    /// True if the caller is superseded: its calls are answered and have no
    /// effect (design: section 4).
    #[must_use]
    pub fn is_stale(&self, caller: &WorkspaceCaller) -> bool {
        caller.stale || caller.epoch.is_some_and(|epoch| epoch < self.fence_epoch)
    }

    /// True if this caller may lead the workspace out of `provisioning` or
    /// `failed`: the instance that was provisioned last, or an unfenced caller
    /// where nothing was ever provisioned.
    #[must_use]
    pub fn is_led_by(&self, caller: &WorkspaceCaller) -> bool {
        match caller.epoch {
            Some(epoch) => epoch == self.fence_epoch,
            None => self.fence_epoch == Epoch(0),
        }
    }

    /// The instance that was provisioned last has called: it is the current one.
    pub(super) fn follow(&mut self, caller: &WorkspaceCaller) {
        if caller.epoch == Some(self.fence_epoch) {
            self.epoch = self.epoch.max(self.fence_epoch);
        }
    }

    /// Forgets what the last incarnation said about itself. What was observed
    /// from outside stays.
    pub(super) fn begin_incarnation(&mut self) {
        self.causes.drop_self_reported();
        self.causes.remove(CauseKind::Unknown);
        self.full_beat_seen = false;
        self.last_uptime = None;
        self.runtime_state = RuntimeState::default();
        self.runtime_metadata = None;
    }

    /// Begins a provision attempt: raises the fence, and forgets the instance
    /// that is replaced, what was observed about it included.
    pub(super) fn begin_instance(&mut self) {
        self.begin_incarnation();
        self.causes = Causes::default();
        self.fence_epoch = self.epoch.max(self.fence_epoch).next();
        self.status = Status::Provisioning;
    }

    /// `Online` or `Degraded`, as the causes say.
    pub(super) fn alive_status(&self) -> Status {
        if self.causes.is_empty() {
            Status::Online
        } else {
            Status::Degraded
        }
    }

    /// Equal in everything but the uptime, which beats move by themselves.
    pub(super) fn decides_like(&self, other: &Self) -> bool {
        self.status == other.status
            && self.epoch == other.epoch
            && self.fence_epoch == other.fence_epoch
            && self.causes == other.causes
            && self.full_beat_seen == other.full_beat_seen
            && self.runtime_state == other.runtime_state
            && self.runtime_metadata == other.runtime_metadata
            && self.external == other.external
    }
}
