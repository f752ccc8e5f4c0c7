//! What the relay asks a registry and tells it, over real sockets and a real
//! Postgres: targets, observed health, who sent lately.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod instances;
mod lab;
mod observations;
mod outbound;
mod races;
mod targets;
