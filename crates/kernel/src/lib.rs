//! The rules of Candor, without any I/O.
//!
//! Everything that decides lives here: which status a workspace has
//! ([`decide`]), who a caller is ([`caller::Caller`]), when a lease ends
//! ([`lease`]). Services persist what the kernel decides; they never decide.

pub mod access;
pub mod activity;
pub mod beat;
pub mod caller;
pub mod causes;
pub mod decision;
pub mod error;
pub mod id;
pub mod json;
pub mod lease;
pub mod rules;
pub mod status;
pub mod text;
pub mod token;

pub use activity::{Source, SourceKind};
pub use beat::{Beat, BeatForm, RuntimeMetadata, TurnProgress};
pub use caller::{AuthMethod, Caller, WorkspaceCaller};
pub use causes::{Cause, CauseKind, Causes};
pub use decision::{
    Creation, CreationKind, Decision, EventType, Occurrence, Outcome, Profile, StructureEvent,
    VitalsWrite, WorkspaceState, beat_writes, decide, is_full,
};
pub use error::{Error, ErrorKind, Reason};
pub use id::{ActivityId, AuthVersion, Epoch, EventId, StateVersion, TokenId, WorkspaceId};
pub use rules::RuleId;
pub use status::{RuntimeState, Status};
