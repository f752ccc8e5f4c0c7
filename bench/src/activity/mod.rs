//! The activity log and the live events of a standalone: rows, lists, sockets,
//! streams, each on a platform that has just started.

mod batched;
mod fan_out;
mod figures;
mod idle;
mod lists;
mod load;
mod pacer;
mod rows;
mod sockets;
mod stage;
mod table;
mod wire;

use std::path::Path;
use std::time::Instant;

use crate::Result;
use crate::files;
use crate::goal;
use crate::postgres::Postgres;
use crate::program::Programs;
use crate::run::open;

use fan_out::Size;
use figures::Figures;
use idle::Idle;
use lists::Lists;
use load::Measured;
use stage::Stage;

/// Events a second for many sockets, and for a tenth of them.
const RATES: (u32, u32) = (200, 2000);

/// How much to measure.
#[derive(Debug, clap::Args)]
pub struct ActivityArgs {
    /// Seconds of each load of rows and of lists.
    #[arg(long, env = "SECONDS", default_value_t = 5)]
    seconds: u32,
    /// Rows of the table that is listed.
    #[arg(long, env = "ROWS", default_value_t = 5_000_000)]
    rows: u32,
    /// Seconds of the events for sockets.
    #[arg(long, env = "EVENT_SECONDS", default_value_t = 10)]
    event_seconds: u32,
    /// Open sockets at 200 events/s, and ten times those at 2,000.
    #[arg(long, env = "SOCKETS", default_value_t = 1000)]
    sockets: usize,
    /// Idle clients of an event stream.
    #[arg(long, env = "STREAMS", default_value_t = 1000)]
    streams: usize,
    /// Workspaces that have rows.
    #[arg(long, env = "WORKSPACES", default_value_t = 1000)]
    workspaces: usize,
    /// Only these, for a look at some.
    #[arg(long, value_delimiter = ',', default_values_t = Part::ALL)]
    only: Vec<Part>,
    /// Keep the logs of the programs, and print where.
    #[arg(long)]
    keep: bool,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Rows one at a time.
    Rows,
    /// Rows on streams.
    Batched,
    /// Lists of a full table.
    Lists,
    /// Events to sockets.
    FanOut,
    /// Memory of idle event streams.
    Idle,
}

/// What every part needs.
struct Bench<'a> {
    args: &'a ActivityArgs,
    programs: &'a Programs,
    postgres: &'a Postgres,
    folder: &'a Path,
}

impl Part {
    const ALL: [Self; 5] = [
        Self::Rows,
        Self::Batched,
        Self::Lists,
        Self::FanOut,
        Self::Idle,
    ];
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Rows => "rows",
            Self::Batched => "batched",
            Self::Lists => "lists",
            Self::FanOut => "fan-out",
            Self::Idle => "idle",
        })
    }
}

/// Measures everything and prints it. What breaks in one part does not keep the
/// others from being measured.
pub async fn run(args: ActivityArgs) -> Result<()> {
    if args.seconds == 0 || args.event_seconds == 0 || args.workspaces == 0 {
        return Err("at least a second and a workspace".into());
    }
    let began = Instant::now();
    files::allow(args.sockets.max(args.streams))?;
    let (folder, programs) = open(args.keep)?;
    let postgres = Postgres::start(folder.path(), &programs).await?;
    println!("postgres {}, fsync on", postgres.version);
    let bench = Bench {
        args: &args,
        programs: &programs,
        postgres: &postgres,
        folder: folder.path(),
    };
    let mut figures = Figures::default();
    bench.log(&mut figures).await?;
    if bench.wants(Part::FanOut) {
        bench.fan_outs(&mut figures).await;
    }
    if bench.wants(Part::Idle) {
        println!("\nidle clients of an event stream");
        let outcome = bench.idle().await;
        figures.idle = figures.kept(Part::Idle, outcome);
    }
    println!();
    for line in goal::table(&figures.goals()) {
        println!("{line}");
    }
    println!("\nafter {:.0} s", began.elapsed().as_secs_f64());
    figures.verdict()
}

impl Bench<'_> {
    fn wants(&self, part: Part) -> bool {
        self.args.only.contains(&part)
    }

    async fn stage(&self, name: &'static str, workspaces: usize) -> Result<Stage<'_>> {
        Stage::set(self.programs, self.postgres, self.folder, name, workspaces).await
    }

    /// What has the same database: rows into an empty table, then lists of a full one.
    async fn log(&self, figures: &mut Figures) -> Result<()> {
        if ![Part::Rows, Part::Batched, Part::Lists]
            .into_iter()
            .any(|part| self.wants(part))
        {
            return Ok(());
        }
        let stage = self.stage("activity", self.args.workspaces).await?;
        if self.wants(Part::Rows) {
            println!("\nrows of 1 KiB one at a time, 64 at the same time; the original did 925/s");
            let outcome = self.rows(&stage).await;
            figures.kept(Part::Rows, outcome);
        }
        if self.wants(Part::Batched) {
            println!("\nrows of 1 KiB on 4 streams, 8 messages of each on their way");
            let outcome = self.batched(&stage).await;
            figures.batched = figures.kept(Part::Batched, outcome);
        }
        if self.wants(Part::Lists) {
            println!("\nlists of 50 rows");
            let outcome = self.lists(&stage).await;
            figures.lists = figures.kept(Part::Lists, outcome).unwrap_or_default();
        }
        Ok(())
    }

    async fn rows(&self, stage: &Stage<'_>) -> Result<()> {
        let mut candor = stage.start().await?;
        let http = rows::http(stage, &candor, self.folder, self.args.seconds).await?;
        println!("{http}");
        let grpc = rows::grpc(stage, &candor, self.args.seconds).await?;
        println!("{grpc}");
        candor.check()
    }

    async fn batched(&self, stage: &Stage<'_>) -> Result<Measured> {
        let mut candor = stage.start().await?;
        let measured = batched::measure(stage, &candor, self.args.seconds).await?;
        println!("{measured}");
        candor.check()?;
        Ok(measured)
    }

    async fn lists(&self, stage: &Stage<'_>) -> Result<Lists> {
        println!("{}", table::fill(stage, self.args.rows.into()).await?);
        let mut candor = stage.start().await?;
        let lists = lists::measure(stage, &candor, self.folder, self.args.seconds).await?;
        candor.check()?;
        Ok(lists)
    }

    async fn fan_outs(&self, figures: &mut Figures) {
        println!("\nevents to sockets");
        let sizes = [
            ("fan_out_wide", self.args.sockets, RATES.0),
            ("fan_out_fast", self.args.sockets.div_ceil(10), RATES.1),
        ];
        for (name, sockets, rate) in sizes {
            let size = Size {
                name,
                sockets,
                rate,
                seconds: self.args.event_seconds,
            };
            let outcome = self.fan_out(size).await;
            let broken = figures.kept(Part::FanOut, outcome);
            figures.broken.extend(broken.into_iter().flatten());
        }
    }

    /// In a database of one workspace: nobody else's events are on the sockets.
    async fn fan_out(&self, size: Size) -> Result<Vec<String>> {
        let stage = self.stage(size.name, 1).await?;
        let mut candor = stage.start().await?;
        let measured = fan_out::measure(&stage, &candor, size).await?;
        println!("{measured}");
        candor.check()?;
        Ok(measured.broken)
    }

    async fn idle(&self) -> Result<Idle> {
        let stage = self.stage("idle", 1).await?;
        let mut candor = stage.start().await?;
        let idle = idle::measure(&stage, &candor, self.args.streams).await?;
        println!("{idle}");
        candor.check()?;
        Ok(idle)
    }
}
