//! The legacy wire format: what outside programs written against the original server send and expect.

pub mod json;
