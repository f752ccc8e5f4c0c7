//! The registry: workspaces, honest heartbeats, the status state machine,
//! leases, discovery, tokens and the event log.
//!
//! Rules come from candor-kernel, rows from [`store`], identity from
//! candor-identity. [`Registry`] puts them together; [`serve`] makes a gRPC
//! server of it.

mod app;
pub mod beats;
mod config;
mod credentials;
mod fields;
mod registry;
mod replicas;
mod retention;
mod sequencer;
pub mod serve;
mod service;
pub mod store;
mod sweeper;
mod ticks;
mod wire;

pub use config::{EventArgs, LeaseArgs, RegistryConfig};
pub use credentials::StoredCredentials;
pub use registry::Registry;
pub use service::{AUDIENCE, RegistryGrpc};
