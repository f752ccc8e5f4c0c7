//! Events inside one process (design: section 12).
//!
//! Stored events are announced by their newest `seq` only: a watcher reads them
//! from the table, so it can neither miss nor repeat one. Events that are not
//! stored travel by value and may be dropped for a watcher that lags; it is told
//! how many it missed.

mod bus;
mod envelope;

pub use bus::{Bus, Held, Notice, Subscription};
pub use envelope::Envelope;
