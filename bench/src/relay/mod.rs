//! Calls to agents through the relay: what they add to calls without it, how many
//! there may be, and what open streams cost.

pub mod agent;
mod caller;
mod figures;
mod load;
mod message;
pub mod proxy;
mod rows;
mod streams;
mod targets;

use std::path::Path;
use std::time::Instant;

use crate::Result;
use crate::files;
use crate::goal;
use crate::postgres::Postgres;
use crate::program::Programs;
use crate::run::open;
use crate::targets::ANY_PORT;

use figures::{Figures, Round};
use load::{Load, RATE};
use targets::{Started, Starter};

/// Callers of the load without a fixed rate.
const MANY: usize = 64;
/// The slow one and another, which a workspace of its own calls.
const FEWEST_AGENTS: usize = 3;

/// How much to measure.
#[derive(Debug, clap::Args)]
pub struct RelayArgs {
    /// Interleaved rounds.
    #[arg(long, env = "ROUNDS", default_value_t = 5)]
    rounds: usize,
    /// Seconds of each load of one caller and of 64.
    #[arg(long, env = "SECONDS", default_value_t = 5)]
    seconds: u32,
    /// Seconds of each load at 500 calls/s.
    #[arg(long, env = "RATE_SECONDS", default_value_t = 10)]
    rate_seconds: u32,
    /// Open streams.
    #[arg(long, env = "STREAMS", default_value_t = 500)]
    streams: usize,
    /// Agents, each of a workspace of its own.
    #[arg(long, env = "AGENTS", default_value_t = 50)]
    agents: usize,
    /// Only these, for a look at some.
    #[arg(long, value_delimiter = ',', default_values_t = Part::ALL)]
    only: Vec<Part>,
    /// Keep the logs of the programs, and print where.
    #[arg(long)]
    keep: bool,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// 500 calls/s.
    Latency,
    /// One caller.
    Single,
    /// 64 callers.
    Throughput,
    /// Open streams.
    Streams,
}

impl Part {
    const ALL: [Self; 4] = [Self::Latency, Self::Single, Self::Throughput, Self::Streams];
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Latency => "latency",
            Self::Single => "single",
            Self::Throughput => "throughput",
            Self::Streams => "streams",
        })
    }
}

/// Measures everything and prints it. What breaks in one part does not keep the
/// others from being measured.
pub async fn run(args: RelayArgs) -> Result<()> {
    if args.seconds == 0 || args.rate_seconds == 0 || args.agents < FEWEST_AGENTS {
        return Err(format!("at least a second and {FEWEST_AGENTS} agents").into());
    }
    let began = Instant::now();
    // Of a stream the platform has two ends.
    files::allow(2 * args.streams.max(MANY))?;
    let (folder, programs) = open(args.keep)?;
    let figures = measure(&args, &programs, folder.path()).await?;
    println!("\n{}", figures.medians());
    for line in goal::table(&figures.goals()) {
        println!("{line}");
    }
    println!(
        "\nthe original: 1.50 ms with one caller where a direct call took 0.10, 1,013 calls/s with 64"
    );
    println!("\nafter {:.0} s", began.elapsed().as_secs_f64());
    figures.verdict()
}

async fn measure(args: &RelayArgs, programs: &Programs, folder: &Path) -> Result<Figures> {
    let postgres = Postgres::start(folder, programs).await?;
    println!("postgres {}, fsync on", postgres.version);
    let mut agent = programs.command("candor-bench");
    agent.args(["agent", "--addr", ANY_PORT]);
    let mut agent = programs.start("agent", agent).await?;
    let starter = Starter {
        programs,
        postgres: &postgres,
        folder,
        agent: &agent,
        agents: args.agents,
    };
    let mut figures = Figures::default();
    in_rounds(args, &starter, &mut figures).await?;
    if args.only.contains(&Part::Streams) {
        println!("\n{} streams, an event a second each", args.streams);
        let outcome = of_streams(args, &starter).await;
        figures.kept(Part::Streams, outcome);
    }
    agent.check()?;
    Ok(figures)
}

/// Everything that is compared: all targets run, one at a time is called.
async fn in_rounds(args: &RelayArgs, starter: &Starter<'_>, figures: &mut Figures) -> Result<()> {
    let parts = [
        (Part::Latency, Load::Paced(args.rate_seconds)),
        (Part::Single, Load::Flood(1, args.seconds)),
        (Part::Throughput, Load::Flood(MANY, args.seconds)),
    ];
    let wanted = |part: Part| args.only.contains(&part);
    if !parts.iter().any(|(part, _)| wanted(*part)) {
        return Ok(());
    }
    let mut targets = starter.all().await?;
    for (part, load) in parts.into_iter().filter(|(part, _)| wanted(*part)) {
        for number in 1..=args.rounds {
            println!("\nround {number} of {}, {}", args.rounds, words(load));
            let Some(round) = figures.kept(part, round(load, &mut targets).await) else {
                break;
            };
            match part {
                Part::Latency => figures.latency.push(round),
                Part::Single => figures.single.push(round),
                Part::Throughput | Part::Streams => figures.throughput.push(round),
            }
        }
    }
    println!("\nrows");
    for started in &targets {
        if let Err(error) = rows::check(starter.postgres, &started.target).await {
            figures.broken.push(error.to_string());
        }
    }
    Ok(())
}

async fn round(load: Load, targets: &mut [Started]) -> Result<Round> {
    let mut round = Vec::new();
    for started in targets {
        let measured = load.on(&started.target).await?;
        println!("{measured}");
        started.check()?;
        round.push(measured);
    }
    Ok(round)
}

async fn of_streams(args: &RelayArgs, starter: &Starter<'_>) -> Result<()> {
    let mut candor = starter.candor("relay_streams", streams::OTHERS).await?;
    let seconds = args.rate_seconds;
    let measured = streams::measure(&candor.target, args.streams, seconds).await?;
    println!("{measured}");
    candor.check()?;
    rows::check(starter.postgres, &candor.target).await
}

fn words(load: Load) -> String {
    match load {
        Load::Paced(_) => format!("{RATE} calls/s"),
        Load::Flood(1, _) => "one caller".to_owned(),
        Load::Flood(callers, _) => format!("{callers} callers"),
    }
}
