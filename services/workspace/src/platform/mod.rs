//! Everything that this process says to the platform.
//!
//! One function makes the headers of every call ([`Platform::headers`]), and one sends
//! them ([`Platform::send`]): what is not sent here cannot be sent without its proof.

pub mod beats;
mod call;
mod client;

pub use call::{Call, CallError, Reply};
pub use client::Platform;
