//! The backend `kubernetes` does what every backend must do, with the rights that its
//! Role gives it, in a namespace at the level `restricted`.

#[macro_use]
mod conformance;
mod pods;

conformance!(pods::Pods::new().await);
