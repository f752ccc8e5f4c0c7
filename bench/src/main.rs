//! Beats a second against floors of the same run, and what a beat costs; the
//! activity log and the live events; calls to agents through the relay.

mod activity;
mod beat;
mod closed;
mod connection;
mod cpu;
mod creates;
mod echo;
mod enrol;
mod files;
mod floors;
mod goal;
mod machine;
mod meter;
mod model;
mod postgres;
mod program;
mod rate;
mod relay;
mod report;
mod rounds;
mod run;
mod startup;
mod statistics;
mod targets;
mod wrk;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use activity::ActivityArgs;
use creates::CreatesArgs;
use relay::RelayArgs;
use relay::proxy::Log;
use run::RunArgs;

/// What may go wrong here is told to a person, never judged by a program.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Debug, Parser)]
#[command(about)]
enum Command {
    /// Run everything and print medians and goals.
    Run(RunArgs),
    /// Measure the activity log and the live events of a standalone.
    Activity(ActivityArgs),
    /// Measure calls to agents through the relay of a standalone.
    Relay(RelayArgs),
    /// Create many workspaces at once and wait until all are online.
    Creates(CreatesArgs),
    /// Serve the stand-in for agents.
    Agent {
        #[arg(long)]
        addr: SocketAddr,
    },
    /// Serve a floor: axum commits a row of id and body, then forwards the call.
    FloorForward(ProxyArgs),
    /// Serve a floor: axum forwards the call, then commits a row of an activity log.
    FloorBufferingProxy(ProxyArgs),
    /// Serve a floor: axum parses a beat and answers.
    FloorHttp {
        #[arg(long)]
        addr: SocketAddr,
        #[arg(long, default_value = floors::ANSWER)]
        answer: String,
    },
    /// Serve a floor: axum parses a beat, echoes it over gRPC, and answers.
    FloorHop {
        #[arg(long)]
        addr: SocketAddr,
        /// Where `floor-grpc` listens.
        #[arg(long)]
        grpc: SocketAddr,
        #[arg(long, default_value = floors::ANSWER)]
        answer: String,
    },
    /// Serve the echo behind `floor-hop`.
    FloorGrpc {
        #[arg(long)]
        addr: SocketAddr,
    },
    /// Serve a model of the original's beat on an empty database.
    Model {
        #[arg(long)]
        addr: SocketAddr,
        #[arg(long, env = "DATABASE_URL")]
        database_url: String,
        #[arg(long, default_value_t = 1000)]
        workspaces: usize,
        /// Where to write ids and tokens.
        #[arg(long)]
        file: PathBuf,
    },
    /// Create and register workspaces on a running platform.
    Enrol {
        #[arg(long)]
        http: SocketAddr,
        #[arg(long, default_value_t = 1000)]
        workspaces: usize,
        /// Where to write ids and tokens.
        #[arg(long)]
        file: PathBuf,
    },
    /// Send beats at a fixed rate.
    Load {
        #[arg(long)]
        http: SocketAddr,
        /// What `enrol` or `model` wrote.
        #[arg(long)]
        file: PathBuf,
        #[arg(long, default_value_t = report::RATE)]
        rate: u32,
        #[arg(long, default_value_t = 10)]
        seconds: u32,
        #[arg(long, default_value_t = 32)]
        connections: usize,
        /// Of the first beats; must not fall between runs.
        #[arg(long, default_value_t = 10_000_000)]
        uptime: u32,
    },
}

#[derive(Debug, clap::Args)]
struct ProxyArgs {
    #[arg(long)]
    addr: SocketAddr,
    /// Where `agent` listens.
    #[arg(long)]
    agents: SocketAddr,
    #[arg(long, env = "DATABASE_URL")]
    database_url: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = Command::parse();
    let outcome = match command {
        // What was started is drained when this is dropped.
        Command::Run(args) => tokio::select! {
            outcome = run::run(args) => outcome,
            outcome = interrupted() => outcome,
        },
        Command::Activity(args) => tokio::select! {
            outcome = activity::run(args) => outcome,
            outcome = interrupted() => outcome,
        },
        Command::Relay(args) => tokio::select! {
            outcome = relay::run(args) => outcome,
            outcome = interrupted() => outcome,
        },
        Command::Creates(args) => tokio::select! {
            outcome = creates::run(args) => outcome,
            outcome = interrupted() => outcome,
        },
        other => serve_or_send(other).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve_or_send(command: Command) -> Result<()> {
    match command {
        Command::Run(args) => run::run(args).await,
        Command::Activity(args) => activity::run(args).await,
        Command::Relay(args) => relay::run(args).await,
        Command::Creates(args) => creates::run(args).await,
        Command::Agent { addr } => relay::agent::run(addr).await,
        Command::FloorForward(args) => args.serve(Log::Before).await,
        Command::FloorBufferingProxy(args) => args.serve(Log::After).await,
        Command::FloorHttp { addr, answer } => floors::http(addr, answer).await,
        Command::FloorHop { addr, grpc, answer } => floors::hop(addr, grpc, answer).await,
        Command::FloorGrpc { addr } => floors::grpc(addr).await,
        Command::Model {
            addr,
            database_url,
            workspaces,
            file,
        } => model::run(addr, &database_url, workspaces, &file).await,
        Command::Enrol {
            http,
            workspaces,
            file,
        } => beat::write_workspaces(&file, &enrol::enrol(http, workspaces).await?),
        Command::Load {
            http,
            file,
            rate,
            seconds,
            connections,
            uptime,
        } => {
            let plan = rate::Plan {
                http,
                rate,
                seconds,
                connections,
            };
            let workspaces = beat::read_workspaces(&file)?;
            let rated = rate::run(&plan, &rate::beats(http, &workspaces, uptime))?;
            println!(
                "{} beats, p50 {:?}, p99 {:?}, generator late p99 {:?}",
                rated.requests, rated.p50, rated.p99, rated.late_p99
            );
            Ok(())
        }
    }
}

impl ProxyArgs {
    async fn serve(self, log: Log) -> Result<()> {
        relay::proxy::run(self.addr, self.agents, &self.database_url, log).await
    }
}

async fn interrupted() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Err("interrupted".into())
}
