//! One layer turns credentials into a typed `Caller` (design: section 3).
//!
//! Handlers never see headers or metadata: they get what [`Authenticator`] made
//! of them by the rules of the route's row in [`policy`]. Between processes the
//! caller travels as a signed [`assertion`].

pub mod assertion;
mod authenticator;
pub mod call;
mod facts;
mod grpc;
mod listener;
pub mod policy;
mod presented;
mod refusal;
mod rejected;
pub mod scoped;
mod store;

pub use assertion::{Keys, Signer, Verifier};
pub use authenticator::{Authenticator, BeatStanding};
pub use call::Call;
pub use facts::Watermark;
pub use grpc::{ClientIdentity, ClientIdentityLayer, Inbound, ServerIdentity, ServerIdentityLayer};
pub use listener::ListenerMode;
pub use policy::{RateClass, Who};
pub use presented::{Claim, Presented};
pub use refusal::Refusal;
pub use rejected::{RejectedBeats, Rejection};
pub use store::{CredentialStore, StoredCredential, StoredToken, WorkspaceStanding};
