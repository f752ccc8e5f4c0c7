//! The operator's commands; everything over gRPC, so they work from anywhere.

mod activity;
mod doctor;
mod explain;
mod instance;
mod observe;
mod policy;
mod ps;
mod queue;
mod reach;
mod secrets;
mod show;
mod watch;

use std::error::Error;
use std::future::Future;

pub use activity::{ActivityArgs, activity};
pub use doctor::{DoctorArgs, doctor};
pub use explain::{ExplainArgs, explain};
pub use observe::{ObserveArgs, observe};
pub use policy::{PolicyArgs, policy};
pub use ps::{PsArgs, ps};
pub use queue::{QueueArgs, queue};
pub use secrets::{SecretsArgs, secrets};
pub use watch::{WatchArgs, watch};

/// Runs a command that needs the network.
pub fn block_on(
    command: impl Future<Output = Result<(), Box<dyn Error>>>,
) -> Result<(), Box<dyn Error>> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(command)
}
