//! Flags and variables of `candor up`.

use candor_process::config::SharedArgs;
use candor_provisioner::ProvisionerArgs;
use candor_registry::{EventArgs, LeaseArgs};
use candor_relay::RelayArgs;
use clap::Args;

/// Run everything in one process.
#[derive(Debug, Clone, Args)]
pub struct UpArgs {
    #[command(flatten)]
    pub shared: SharedArgs,
    #[command(flatten)]
    pub leases: LeaseArgs,
    #[command(flatten)]
    pub events: EventArgs,
    #[command(flatten)]
    pub relay: RelayArgs,
    #[command(flatten)]
    pub provisioner: ProvisionerArgs,
    /// Mint test tokens on enforced listeners too.
    #[arg(long, env = "CANDOR_TEST_TOKENS", value_parser = clap::builder::FalseyValueParser::new())]
    pub test_tokens: bool,
    /// One line of JSON on standard output when ready, instead of a summary.
    #[arg(long)]
    pub json: bool,
}
