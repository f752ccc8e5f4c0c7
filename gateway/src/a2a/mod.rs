//! The A2A door: what the agent cards point to, by the letter of the protocol.
//!
//! Bodies are those of candor-a2a; who may call, and the way in and out, are the
//! same as on the legacy routes (`docs/adr/0010-a2a-door.md`).

pub(crate) mod cards;
pub(crate) mod rpc;
