//! The backend `process` does what every backend must do.

#[macro_use]
mod conformance;
mod processes;

conformance!(processes::Processes::new());
