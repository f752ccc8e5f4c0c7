//! The honest agent: what runs inside a workspace, or beside any agent, and admits
//! that it is wedged (design section 11).
//!
//! A beat is computed when it is sent, from what really happened ([`vitals`]), by a
//! task that does nothing else ([`heartbeat`]). The agent's work goes through one
//! place ([`turns`]), which counts it and examines its errors ([`wedge`]). Everything
//! that is said to the platform goes through another ([`platform`]), which proves who
//! says it.

pub mod a2a;
mod durable;
pub mod executor;
pub mod heartbeat;
pub mod inbox;
pub mod mcp;
pub mod platform;
pub mod prompts;
pub mod proxy;
pub mod registration;
pub mod reports;
pub mod runtime;
mod self_message;
pub mod settings;
pub mod token;
pub mod turns;
pub mod vitals;
pub mod wedge;
