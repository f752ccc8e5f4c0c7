//! Instances as processes of this machine, on a platform as its users start it.
#![allow(clippy::unwrap_used)]

mod crash;
mod files;
mod life;
mod restarts;
mod world;
