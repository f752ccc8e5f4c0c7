//! Instances on a platform in this process whose backend does what it is told, also
//! what no backend should: lose instances, fail to kill, lose tokens, answer nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod agent;
mod budget;
mod by_itself;
mod hand_over;
mod lab;
mod scripted;
mod survivors;
