//! Rows of `structure_events`.

use std::fmt;

/// The kinds of structure events; labels as the legacy platform has them
/// (contract/activity.md, event catalogue).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventType {
    /// An instance is being made.
    WorkspaceProvisioning,
    /// Alive, with nothing against it.
    WorkspaceOnline,
    /// Alive, with a cause against it.
    WorkspaceDegraded,
    /// Its lease ended, or its instance is gone.
    WorkspaceOffline,
    /// It could not be started.
    WorkspaceProvisionFailed,
    /// It waits for an agent that somebody else starts.
    WorkspaceAwaitingAgent,
    /// Stopped by a person.
    WorkspacePaused,
    /// Stopped for idleness.
    WorkspaceHibernated,
    /// Deleted.
    WorkspaceRemoved,
    /// The agent replaced its card; no decision of the state machine.
    AgentCardUpdated,
}

impl EventType {
    /// Every kind, for tables and tests.
    pub const ALL: [Self; 10] = [
        Self::WorkspaceProvisioning,
        Self::WorkspaceOnline,
        Self::WorkspaceDegraded,
        Self::WorkspaceOffline,
        Self::WorkspaceProvisionFailed,
        Self::WorkspaceAwaitingAgent,
        Self::WorkspacePaused,
        Self::WorkspaceHibernated,
        Self::WorkspaceRemoved,
        Self::AgentCardUpdated,
    ];

    /// The stored and sent word.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::WorkspaceProvisioning => "WORKSPACE_PROVISIONING",
            Self::WorkspaceOnline => "WORKSPACE_ONLINE",
            Self::WorkspaceDegraded => "WORKSPACE_DEGRADED",
            Self::WorkspaceOffline => "WORKSPACE_OFFLINE",
            Self::WorkspaceProvisionFailed => "WORKSPACE_PROVISION_FAILED",
            Self::WorkspaceAwaitingAgent => "WORKSPACE_AWAITING_AGENT",
            Self::WorkspacePaused => "WORKSPACE_PAUSED",
            Self::WorkspaceHibernated => "WORKSPACE_HIBERNATED",
            Self::WorkspaceRemoved => "WORKSPACE_REMOVED",
            Self::AgentCardUpdated => "AGENT_CARD_UPDATED",
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// One event to be written in the transaction of its change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StructureEvent {
    /// Which kind.
    pub event_type: EventType,
    /// Compact JSON with sorted keys.
    pub payload: String,
}

impl StructureEvent {
    pub(super) const fn new(event_type: EventType, payload: String) -> Self {
        Self {
            event_type,
            payload,
        }
    }
}
