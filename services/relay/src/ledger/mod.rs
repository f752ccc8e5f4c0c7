//! Accepted messages: they are delivered at least once, or reported (promise P3).

mod accept;
mod deliver;
mod report;
mod retry;
mod wake;
mod worker;

pub(crate) use accept::{
    NotAccepted, Tried, accept_polled, accept_task, accept_tried, not_found, requeue, waits,
};
pub(crate) use report::{drop_one, polled, report_dropped};
pub use wake::Waker;
pub(crate) use worker::run;

/// The priority of a task, the only one that is given so far (contract/a2a.md,
/// "Queue").
pub(crate) const TASK: i16 = 50;
