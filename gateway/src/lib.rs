
//! The HTTP edge of Candor.

pub mod edge;
pub mod legacy;
