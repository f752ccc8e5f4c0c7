//! What this process is to the platform.

/// What this process is to the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// The workspace's agent.
    #[default]
    Current,
    /// The workspace does not exist (yet).
    Unknown,
    /// Another instance has taken its place.
    Superseded,
    /// The workspace was removed.
    Removed,
    /// It was told to end.
    Draining,
}

impl Standing {
    /// Why no new turn is begun, if so.
    #[must_use]
    pub const fn refusal(self) -> Option<&'static str> {
        match self {
            Self::Current | Self::Unknown => None,
            Self::Superseded => Some("another instance has taken this workspace over"),
            Self::Removed => Some("this workspace was removed"),
            Self::Draining => Some("the agent is shutting down"),
        }
    }

    /// Whether it speaks for the workspace: sends prompts, asks for results.
    #[must_use]
    pub const fn is_current(self) -> bool {
        matches!(self, Self::Current)
    }

    /// Nothing takes the order to end back.
    pub(super) const fn may_change(self) -> bool {
        !matches!(self, Self::Draining)
    }
}
