#![allow(missing_docs, dead_code)]
pub mod beats;
mod fields;
mod redact;
mod secrets;
pub mod store;
pub mod wire;
mod config;
