//! What the Agent2Agent protocol (A2A) says, in its versions 0.3 and 1.0, for a
//! gateway that stands between callers and agents of either version.
//!
//! Everything here is a function of its arguments: no I/O, no runtime. The
//! numbers and names are those of the A2A specification 1.0.1; what 0.3 says
//! differently is in [`translate`].

pub mod card;
pub mod error;
pub mod grpc;
pub mod jsonrpc;
pub mod method;
mod object;
pub mod translate;
pub mod version;

pub use error::{Error, ErrorKind};
pub use method::Method;
pub use version::Version;
