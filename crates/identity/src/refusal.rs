//! Why a caller is not let in; each transport has its own words for it.

use candor_kernel::{Error, Reason};

/// A refused caller.
#[derive(Debug, Clone)]
pub enum Refusal {
    /// A credential is needed, and none was presented.
    Missing,
    /// The credential proves nothing, or not this.
    Invalid,
    /// The credential is another workspace's than the one that is claimed.
    CallerMismatch,
    /// The caller id has a prefix that only the platform may use.
    InvalidCallerId,
    /// The caller is proven, and may not do this.
    NotAllowed,
    /// The workspace was removed.
    Gone,
    /// Whoever keeps the credentials does not answer (promise P9).
    Store(Error),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Missing => {
                Self::new(Reason::MissingCredential, "missing workspace auth token")
            }
            Refusal::Invalid => {
                Self::new(Reason::InvalidCredential, "invalid workspace auth token")
            }
            Refusal::CallerMismatch => {
                Self::new(Reason::InvalidCredential, "invalid caller auth token")
            }
            Refusal::InvalidCallerId => Self::new(Reason::InvalidCallerId, "invalid caller ID"),
            Refusal::NotAllowed => Self::new(Reason::NotAllowed, "this caller may not do that"),
            Refusal::Gone => Self::new(Reason::WorkspaceRemoved, "workspace was removed"),
            Refusal::Store(error) => error,
        }
    }
}
