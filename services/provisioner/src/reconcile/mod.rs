//! From what is wanted and what is seen to the next step, one at a time.
//!
//! The decision is pure: [`next`] knows no clock but the one it is given, and no backend.
//! Whoever carries a step out writes down how it ended and asks again; a crash between
//! any two steps is nothing special, since both sides are read anew.

mod act;
mod budget;
mod crash;
pub(crate) mod idle;
mod orphans;
mod plan;
pub(crate) mod run;
mod step;
pub(crate) mod sweep;
pub(crate) mod take;
mod tell;
mod turn;
pub(crate) mod watch;

pub use budget::{Budget, Verdict};
pub use crash::{BadCrashPoint, CrashPoint};
pub use step::{Desired, Facts, Handed, Step, Want, next};
