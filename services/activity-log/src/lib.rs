//! The activity log: who said what to whom, with a source that cannot be forged.
//!
//! Rules come from candor-kernel, rows from [`store`], identity from
//! candor-identity. [`ActivityLog`] puts them together; [`serve`] puts it behind
//! the identity layer.

mod activity_log;
mod announce;
pub mod body;
pub mod row;
pub mod serve;
mod service;
pub mod store;
mod upkeep;
mod wire;
pub mod writer;

pub use activity_log::ActivityLog;
pub use service::ActivityGrpc;
