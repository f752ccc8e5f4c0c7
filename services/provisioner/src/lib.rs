//! Desired and observed instances of workspaces (design section 10).
//!
//! What is wanted is a row; a reconciler moves what is observed towards it, one
//! generation at a time. How an instance is made is a [`backend`]'s matter; what may be
//! concluded from what it says is not.

mod announce;
mod app;
pub mod backend;
mod blueprint;
mod config;
mod environment;
mod files;
mod folder;
mod provisioner;
pub mod reconcile;
mod restart_context;
pub mod serve;
mod service;
pub mod setup;
mod store;
mod templates;
mod walk;

pub use config::{BackendSettings, Kind, ProvisionerArgs, ProvisionerConfig, ProvisionerSettings};
pub use provisioner::{Provisioner, Services};
pub use service::ProvisionerGrpc;
pub use setup::{BackendHome, Backends, Place};
