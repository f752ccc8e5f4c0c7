//! What the original platform answered, asked again of a running Candor.
//!
//! `data/original-step*.jsonl` hold recorded requests and answers, in stories
//! that begin with no workspaces. Every line must agree byte for byte after
//! [`variables`] took out what cannot repeat, or deviate on purpose: then
//! [`expected`] says, line by line, what Candor answers instead. Lines whose
//! route does not exist yet stand in [`pending`], and must fail until it does.
//!
//! Besides the answer, the event rows that a request left in Postgres are
//! compared with what the original broadcast because of it.

pub mod expected;
mod extra;
pub mod line;
pub mod pending;
mod run;
pub mod stored;
mod stub;
mod variables;

pub use expected::{Expectation, Expectations};
pub use line::{DataError, Line, original};
pub use run::{Replay, ReplayError, Report};
pub use variables::Variables;
