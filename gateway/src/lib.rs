//! The HTTP edge of Candor: every legacy HTTP client as it is.
//!
//! [`edge`] is what happens around every request, [`legacy`] knows the routes and
//! every legacy JSON shape, [`registry`] speaks to the registry. A request is
//! authenticated before a handler sees it: handlers get a `Caller`, never
//! headers.

pub mod edge;
mod events;
mod gateway;
pub mod legacy;
pub mod registry;
mod serve;

pub use gateway::{Gateway, GatewayConfig};
pub use registry::{BeatSink, GrpcChannel, RegistryClient, local};
pub use serve::serve;
