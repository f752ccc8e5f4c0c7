//! `candor secrets rotate`: stored secrets under the key of now.

use std::error::Error;
use std::time::Duration;

use candor_kernel::Reason;
use candor_process::grpc::from_status;
use candor_proto::provisioner::v1 as pb;
use clap::{Args, Subcommand};
use serde_json::json;
use tonic::Status;

use super::reach::{ReachArgs, told_by_provisioner};
use super::show;

/// Longest wait: the provisioner's own deadline ends before it.
const PATIENCE: Duration = Duration::from_secs(40);

/// Look after stored secrets.
#[derive(Debug, Args)]
pub struct SecretsArgs {
    #[command(subcommand)]
    command: SecretsCommand,
}

#[derive(Debug, Subcommand)]
enum SecretsCommand {
    /// Seal everything with the key of now: what the key before sealed, and what was stored
    /// before there was one. It may be broken off and repeated at any time.
    Rotate(RotateArgs),
}

#[derive(Debug, Args)]
struct RotateArgs {
    #[command(flatten)]
    reach: ReachArgs,
}

pub async fn secrets(args: SecretsArgs) -> Result<(), Box<dyn Error>> {
    match args.command {
        SecretsCommand::Rotate(args) => rotate(args.reach).await,
    }
}

async fn rotate(reach: ReachArgs) -> Result<(), Box<dyn Error>> {
    let mut client = reach.provisioner().await?;
    let mut request = reach.request(pb::RotateSecretsRequest {})?;
    request.set_timeout(PATIENCE);
    let answer = client.rotate_secrets(request).await;
    let sealed = answer
        .map_err(|status| refused(&status))?
        .into_inner()
        .sealed;
    if reach.json {
        println!("{}", json!({"sealed": sealed}));
    } else {
        println!("{sealed} secrets sealed anew; all stored secrets are sealed with the key of now");
    }
    Ok(())
}

/// Why it failed, with the names of what cannot be read.
fn refused(status: &Status) -> String {
    let error = from_status(status);
    match (error.reason(), error.fact("failed_keys")) {
        (Reason::SecretUnreadable, Some(keys)) => {
            format!("{}: {}", status.message(), show::line(keys))
        }
        _ => told_by_provisioner(status),
    }
}
