//! `candor-workspace`: the agent of a workspace, or a sidecar beside one.

use std::error::Error;
use std::process::ExitCode;

use candor_process::program;
use candor_process::telemetry::Telemetry;
use candor_workspace::mcp;
use candor_workspace::runtime::{self, Runtime};
use candor_workspace::settings::{Args, Command};
use clap::Parser as _;

fn main() -> ExitCode {
    let args = Args::parse();
    match args.command {
        Some(Command::Mcp) => program::run("candor-workspace mcp", tools(args)),
        None => program::run("candor-workspace", agent(args)),
    }
}

async fn agent(args: Args) -> Result<(), Box<dyn Error>> {
    let settings = args.resolve()?;
    let telemetry = Telemetry::start(&settings.telemetry)?;
    let finished = match Runtime::start(settings, telemetry.metrics()).await {
        Ok(runtime) => {
            runtime.announce(args.json);
            runtime.finished().await
        }
        Err(error) => Err(error),
    };
    telemetry.shutdown().await;
    finished
}

async fn tools(args: Args) -> Result<(), Box<dyn Error>> {
    let (identity, telemetry) = args.tools()?;
    let platform = runtime::platform(&identity)?;
    // Standard output is the protocol's; lines go to standard error.
    let telemetry = Telemetry::start(&telemetry)?;
    let served = mcp::serve_stdio(platform).await;
    telemetry.shutdown().await;
    served.map_err(Into::into)
}
