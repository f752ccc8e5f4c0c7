//! Instances as containers of a real Docker engine, on a platform as its users start it.
#![allow(clippy::unwrap_used)]

mod answers;
mod engine;
mod outage;
mod recorded;
mod restarts;
