//! `candor`: everything in one process, and the operator's commands.

mod migrate;
mod operator;
mod up;

use std::process::ExitCode;

use candor_process::program::exit_code;
use clap::{Parser, Subcommand};

/// The control plane for AI-agent workspaces that tells the truth about their
/// health.
#[derive(Debug, Parser)]
#[command(name = "candor", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything in one process.
    Up(Box<up::UpArgs>),
    /// List workspaces: status, verdict, last beat, reason.
    Ps(operator::PsArgs),
    /// Follow status changes as they happen.
    Watch(operator::WatchArgs),
    /// Show who said what to whom.
    Activity(operator::ActivityArgs),
    /// Show and settle accepted messages that wait for their agents.
    Queue(operator::QueueArgs),
    /// Show or switch whether a workspace's answers count for its health.
    Observe(operator::ObserveArgs),
    /// Show or change what the platform may do to a workspace by itself.
    Policy(operator::PolicyArgs),
    /// Seal stored secrets anew.
    Secrets(operator::SecretsArgs),
    /// Say why a workspace has its status.
    Explain(operator::ExplainArgs),
    /// Look for what is wrong with an installation.
    Doctor(operator::DoctorArgs),
    /// Change or show the database schema.
    Migrate(migrate::MigrateArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Up(args) => up::main(*args),
        Command::Ps(args) => operator::block_on(operator::ps(args)),
        Command::Watch(args) => operator::block_on(operator::watch(args)),
        Command::Activity(args) => operator::block_on(operator::activity(args)),
        Command::Queue(args) => operator::block_on(operator::queue(args)),
        Command::Observe(args) => operator::block_on(operator::observe(args)),
        Command::Policy(args) => operator::block_on(operator::policy(args)),
        Command::Secrets(args) => operator::block_on(operator::secrets(args)),
        Command::Explain(args) => operator::block_on(operator::explain(args)),
        Command::Doctor(args) => operator::block_on(operator::doctor(args)),
        Command::Migrate(args) => operator::block_on(migrate::run(args)),
    };
    exit_code("candor", outcome)
}
