//! The status of a workspace and the runtime's own word about itself.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The state machine's state; the Postgres enum `workspace_status` has these
/// labels in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// An instance is being made.
    Provisioning,
    /// Alive, and nothing speaks against it.
    Online,
    /// Its lease ended, or its backend says the instance is gone.
    Offline,
    /// Alive, but at least one cause says it does not work.
    Degraded,
    /// It could not be started.
    Failed,
    /// Deleted; final.
    Removed,
    /// Stopped by a person.
    Paused,
    /// Stopped for idleness; woken by the next call.
    Hibernated,
    /// On its way to `Hibernated`.
    Hibernating,
    /// Waits for an agent that somebody else starts.
    AwaitingAgent,
}

impl Status {
    /// Every status, in the order of the Postgres enum.
    pub const ALL: [Self; 10] = [
        Self::Provisioning,
        Self::Online,
        Self::Offline,
        Self::Degraded,
        Self::Failed,
        Self::Removed,
        Self::Paused,
        Self::Hibernated,
        Self::Hibernating,
        Self::AwaitingAgent,
    ];

    /// The label of the Postgres enum, of events and of gRPC JSON.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Provisioning => "provisioning",
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
            Self::Removed => "removed",
            Self::Paused => "paused",
            Self::Hibernated => "hibernated",
            Self::Hibernating => "hibernating",
            Self::AwaitingAgent => "awaiting_agent",
        }
    }

    /// The label shown in legacy JSON, whose readers know eight statuses
    /// (design: section 5, "States").
    #[must_use]
    pub const fn legacy_label(self) -> &'static str {
        match self {
            Self::AwaitingAgent => "provisioning",
            Self::Hibernating => "paused",
            other => other.label(),
        }
    }

    /// Alive means the lease counts: `online` and `degraded`.
    #[must_use]
    pub const fn is_alive(self) -> bool {
        matches!(self, Self::Online | Self::Degraded)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// The text is no label of [`Status`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown status {0:?}")]
pub struct UnknownStatus(pub String);

impl FromStr for Status {
    type Err = UnknownStatus;
    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL
            .into_iter()
            .find(|status| status.label() == text)
            .ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}

/// The workspace's own word about itself, kept verbatim.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuntimeState(pub String);

impl RuntimeState {
    /// `""`, `ok`, `healthy` and `ready` all say the same (deviation D25).
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        matches!(self.0.as_str(), "" | "ok" | "healthy" | "ready")
    }
    /// The agent admits that it cannot answer.
    #[must_use]
    pub fn is_wedged(&self) -> bool {
        self.0 == "wedged"
    }
}
