//! The relay: every message attributed, delivered or reported, never lost, never
//! hung.
//!
//! A message is written down as an intent before its agent is dialled ([`journal`]);
//! its end is told to the activity log ([`forward`], [`outbox`]). What an agent could
//! not take waits in the ledger. Agents are dialled by candor-egress alone.

mod app;
mod card;
mod config;
mod delegations;
mod deliver;
mod door;
mod envelope;
mod follow;
mod forward;
mod health;
mod journal;
mod ledger;
mod outbox;
mod record;
mod relay;
mod resolver;
pub mod serve;
mod service;
mod store;
mod target;
mod upkeep;
mod wakes;

pub use config::{RelayArgs, RelayConfig};
pub use forward::Services;
pub use relay::Relay;
pub use service::{A2aGrpc, RelayGrpc};
