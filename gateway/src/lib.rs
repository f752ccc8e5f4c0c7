//! The HTTP edge of Candor: every legacy HTTP client as it is.
//!
//! [`edge`] is what happens around every request, [`legacy`] knows the routes and
//! every legacy JSON shape, [`a2a`] the routes of A2A beside it; [`beats`] takes
//! heartbeats to the registry. A request is
//! authenticated before a handler sees it: handlers get a `Caller`, never
//! headers.

mod a2a;
pub mod beats;
pub mod edge;
mod events;
mod gateway;
pub mod legacy;
mod serve;

pub use beats::BeatSink;
pub use gateway::{Gateway, GatewayConfig, Services};
pub use serve::serve;
