//! What this process says to its own agent without being asked by anybody: once after
//! it was registered, and when nothing happens for long.

pub mod idle;
pub mod initial;
