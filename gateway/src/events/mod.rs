//! Live events for sockets and streams.
//!
//! The [`Hub`] follows the registry's log once for the whole gateway and hands
//! each event to every follower; a [`Feed`] is one follower's view of it, which
//! can begin at an earlier event. What a stored event looks like on the legacy
//! wire is [`crate::legacy`]'s business.

mod feed;
mod hub;

pub(crate) use feed::{Cut, Feed};
pub(crate) use hub::Hub;
