//! JSON as the original server reads and writes it (contract/README.md, wire conventions 1 to 5 and 8).
//!
//! serde's derived types differ from it in ways that clients can see: case of member names, duplicates, `null`,
//! whole floats and the escaping of `<`, `>` and `&`. This module keeps those rules in one place.

pub mod bind;
pub mod encode;
pub mod exact;
pub mod heartbeat;
pub(in crate::legacy) mod scan;
pub mod time;

#[cfg(test)]
mod tests;
