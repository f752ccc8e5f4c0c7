//! The whole benchmark, in order.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use tempfile::TempDir;

use crate::machine::describe;
use crate::postgres::Postgres;
use crate::program::{Programs, beside_this};
use crate::report::{RATE, Report, line};
use crate::rounds::{Loads, Measured, idle_statements};
use crate::targets::{Kind, Starter, Target, Targets};
use crate::{Result, startup, wrk};

/// Below this an uptime might repeat.
const FEWEST_WORKSPACES: usize = 100;
/// How often a standalone is started on an existing directory.
const STARTS: usize = 3;

/// How much to measure.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Interleaved rounds.
    #[arg(long, env = "ROUNDS", default_value_t = 5)]
    rounds: usize,
    /// Seconds of each load at 64 and 256 connections.
    #[arg(long, env = "SECONDS", default_value_t = 5)]
    seconds: u32,
    /// Seconds of each load at 333 beats/s.
    #[arg(long, env = "RATE_SECONDS", default_value_t = 10)]
    rate_seconds: u32,
    /// Rounds at 256 connections.
    #[arg(long, env = "WIDE_ROUNDS", default_value_t = 0)]
    wide_rounds: usize,
    /// Workspaces that beat in turn.
    #[arg(long, env = "WORKSPACES", default_value_t = 1000)]
    workspaces: usize,
    /// Only these, for a look at some.
    #[arg(long, value_delimiter = ',', default_values_t = Kind::ALL)]
    only: Vec<Kind>,
    /// Keep the logs of the programs, and print where.
    #[arg(long)]
    keep: bool,
}

/// Measures everything and prints it.
pub async fn run(args: RunArgs) -> Result<()> {
    if args.workspaces < FEWEST_WORKSPACES {
        return Err(format!("at least {FEWEST_WORKSPACES} workspaces").into());
    }
    let began = Instant::now();
    let (folder, programs) = open(args.keep)?;
    let mut report = Report::default();
    under_load(&args, &programs, folder.path(), &mut report).await?;
    if args.only.contains(&Kind::Standalone) {
        println!("\nstarts of a standalone with its own Postgres");
        report.startup = Some(startup::measure(&programs, folder.path(), STARTS).await?);
    }
    println!("\n{}", report.text());
    println!("\nafter {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}

/// A folder for everything that is written, and the programs that log there; says
/// what machine this is.
pub fn open(keep: bool) -> Result<(TempDir, Programs)> {
    let folder = tempfile::Builder::new()
        .prefix("candor-bench-")
        .disable_cleanup(keep)
        .tempdir()?;
    // As root, Postgres runs as somebody else, who must get in.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    if keep {
        println!("folder  {}", folder.path().display());
    }
    for line in describe(folder.path())? {
        println!("{line}");
    }
    let programs = Programs {
        binaries: beside_this()?,
        logs: folder.path().to_owned(),
    };
    Ok((folder, programs))
}

async fn under_load(
    args: &RunArgs,
    programs: &Programs,
    folder: &std::path::Path,
    report: &mut Report,
) -> Result<()> {
    let postgres = Postgres::start(folder, programs).await?;
    println!(
        "postgres {}, fsync on, {}",
        postgres.version,
        counting(&postgres)
    );
    let starter = Starter {
        programs,
        postgres: &postgres,
        folder,
        count: args.workspaces,
    };
    let mut targets = starter.start(&args.only).await?;
    let loads = Loads::new(wrk::script(folder)?);

    for round in 1..=args.rounds {
        println!("\nround {round} of {}, 64 connections", args.rounds);
        report
            .rounds
            .push(throttle_round(&loads, &mut targets, 64, args.seconds, |_| true).await?);
    }
    for round in 1..=args.wide_rounds {
        println!("\nround {round} of {}, 256 connections", args.wide_rounds);
        let but_the_model = |kind| kind != Kind::Model;
        report
            .wide
            .push(throttle_round(&loads, &mut targets, 256, args.seconds, but_the_model).await?);
    }
    let steady: Vec<&Target> = targets
        .iter()
        .filter(|target| target.kind == Kind::FloorHttp || target.kind.is_candor())
        .collect();
    for target in &steady {
        let idle = idle_statements(target).await?;
        report.idle.push((target.kind, idle));
    }
    for round in 1..=args.rounds {
        println!("\nround {round} of {}, {RATE} beats/s", args.rounds);
        let mut measured = Vec::new();
        for target in &steady {
            let one = loads.fixed_rate(target, RATE, args.rate_seconds).await?;
            println!("{}", line(&one));
            measured.push(one);
        }
        report.rated.push(measured);
    }
    targets.check()
}

async fn throttle_round(
    loads: &Loads,
    targets: &mut Targets,
    connections: u32,
    seconds: u32,
    wanted: impl Fn(Kind) -> bool,
) -> Result<Vec<Measured>> {
    let mut round = Vec::new();
    for target in targets.iter().filter(|target| wanted(target.kind)) {
        let measured = loads.open_throttle(target, connections, seconds).await?;
        println!("{}", line(&measured));
        round.push(measured);
    }
    targets.check()?;
    Ok(round)
}

fn counting(postgres: &Postgres) -> &'static str {
    if postgres.counts_statements {
        "counting statements"
    } else {
        "WITHOUT pg_stat_statements: statements are not counted"
    }
}
