//! The addresses of agents: what may be stored, what may be dialled, and the one
//! client that dials it (design section 9).
//!
//! One filter for every use, deny by default. A name is looked up once, all its
//! addresses are judged, and the connection goes to one of those
//! (`docs/adr/0008-one-dialler.md`).

mod body;
mod class;
mod connect;
mod dial;
mod error;
mod exchange;
mod policy;
mod progress;
mod refusal;
mod registered;
mod resolve;
mod target;

pub use body::{AgentBody, BodyError, Collected};
pub use class::{AddressClass, classify};
pub use dial::{AgentResponse, Egress, Limits};
pub use error::DialError;
pub use exchange::AgentRequest;
pub use policy::{AddressPolicy, UnknownPolicy};
pub use progress::Progress;
pub use refusal::Refusal;
pub use registered::{UrlRefused, UrlVerdict, check_registered_url};
pub use resolve::{Lookup, SystemLookup};
