//! The auth mode belongs to a listener, not to a process.

use candor_process::config::AuthMode;

/// How a listener treats callers without a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListenerMode {
    /// The legacy development rules: whoever reaches it is a user.
    Open,
    /// No fail-open path at all.
    Enforced,
}

impl From<AuthMode> for ListenerMode {
    fn from(mode: AuthMode) -> Self {
        match mode {
            AuthMode::Open => Self::Open,
            AuthMode::Enforced => Self::Enforced,
        }
    }
}

impl ListenerMode {
    /// True for [`ListenerMode::Open`].
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Open)
    }
}
