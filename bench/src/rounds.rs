//! Loads on targets, one at a time, each with its cost.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::Result;
use crate::beat::read_workspaces;
use crate::machine::Ticks;
use crate::meter::{Cost, Counters};
use crate::rate::{self, Plan};
use crate::targets::{Kind, Target};
use crate::wrk::Wrk;

/// Connections of a load at a fixed rate.
const CONNECTIONS: usize = 32;
/// Connections while warming up.
const WARM_CONNECTIONS: u32 = 64;
/// Each attempt to warm up begins with the first workspace again.
const WARM_SECONDS: [u32; 5] = [1, 2, 4, 8, 16];
/// How long the statements of an idle target are counted.
const IDLE: Duration = Duration::from_secs(5);
/// Uptimes begin here and keep eight digits.
const FIRST_UPTIME: u32 = 10_000_000;

/// One load on one target.
#[derive(Debug, Clone)]
pub struct Measured {
    /// On whom.
    pub kind: Kind,
    /// Beats that were answered.
    pub beats: u64,
    /// Beats in a second.
    pub rate: f64,
    /// Median latency.
    pub p50: Duration,
    /// Its 99th percentile.
    pub p99: Duration,
    /// 99th percentile of the generator's own delay; at a fixed rate only.
    pub late_p99: Option<Duration>,
    /// What it cost in Postgres.
    pub cost: Option<Cost>,
    /// Share of the CPU that others had meanwhile, in percent.
    pub stolen: f64,
}

/// Sends loads.
#[derive(Debug)]
pub struct Loads {
    script: PathBuf,
    began: Instant,
}

impl Measured {
    /// Statements a beat.
    pub fn statements(&self) -> Option<f64> {
        Some(self.cost?.statements? / self.beats as f64)
    }

    /// Bytes of write-ahead log a beat.
    pub fn wal(&self) -> Option<f64> {
        Some(self.cost?.wal / self.beats as f64)
    }

    /// Percentage of heap-only updates.
    pub fn heap_only(&self) -> Option<f64> {
        self.cost?.heap_only
    }
}

impl Loads {
    /// Loads by wrk's script.
    pub fn new(script: PathBuf) -> Self {
        Self {
            script,
            began: Instant::now(),
        }
    }

    /// As many beats as are answered.
    pub async fn open_throttle(
        &self,
        target: &Target,
        connections: u32,
        seconds: u32,
    ) -> Result<Measured> {
        self.warm_up(target).await?;
        let before = counters(target).await?;
        let ticks = Ticks::now()?;
        let loaded = self.wrk(target, connections, seconds)?.run().await;
        let loaded = loaded.map_err(|error| format!("{}: {error}", target.kind))?;
        let stolen = ticks.stolen_since()?;
        Ok(Measured {
            kind: target.kind,
            beats: loaded.requests,
            rate: loaded.rate,
            p50: loaded.p50,
            p99: loaded.p99,
            late_p99: None,
            cost: cost(target, before).await?,
            stolen,
        })
    }

    /// A fixed number of beats a second.
    pub async fn fixed_rate(&self, target: &Target, rate: u32, seconds: u32) -> Result<Measured> {
        self.warm_up(target).await?;
        let workspaces = read_workspaces(&target.workspaces)?;
        let plan = Plan {
            http: target.http,
            rate,
            seconds,
            connections: CONNECTIONS,
        };
        let uptime = self.uptime()?;
        let before = counters(target).await?;
        let ticks = Ticks::now()?;
        let rated = tokio::task::spawn_blocking(move || {
            rate::run(&plan, &rate::beats(plan.http, &workspaces, uptime))
        })
        .await?;
        let rated = rated.map_err(|error| format!("{}: {error}", target.kind))?;
        let stolen = ticks.stolen_since()?;
        Ok(Measured {
            kind: target.kind,
            beats: rated.requests,
            rate: rated.requests as f64 / f64::from(seconds),
            p50: rated.p50,
            p99: rated.p99,
            late_p99: Some(rated.late_p99),
            cost: cost(target, before).await?,
            stolen,
        })
    }

    /// Every workspace beats at least once. Caches are filled, silent workspaces are
    /// back, pages have had their image in the log: none of it is a beat's cost.
    async fn warm_up(&self, target: &Target) -> Result<()> {
        let lap = read_workspaces(&target.workspaces)?.len() as u64;
        for seconds in WARM_SECONDS {
            let warmed = self.wrk(target, WARM_CONNECTIONS, seconds)?.run().await;
            let warmed = warmed.map_err(|error| format!("{}: {error}", target.kind))?;
            if warmed.requests >= lap {
                return Ok(());
            }
        }
        Err(format!("{}: too slow to warm up", target.kind).into())
    }

    fn wrk<'a>(&'a self, target: &'a Target, connections: u32, seconds: u32) -> Result<Wrk<'a>> {
        Ok(Wrk {
            script: &self.script,
            workspaces: &target.workspaces,
            http: target.http,
            connections,
            seconds,
            uptime: self.uptime()?,
        })
    }

    /// Above every uptime that was sent before: no target makes a thousand laps
    /// over its workspaces in a second.
    fn uptime(&self) -> Result<u32> {
        Ok(FIRST_UPTIME + u32::try_from(self.began.elapsed().as_millis())?)
    }
}

/// Statements a second that nobody asked for: housekeeping.
pub async fn idle_statements(target: &Target) -> Result<Option<f64>> {
    let Some(meter) = &target.meter else {
        return Ok(None);
    };
    let before = meter.read().await?;
    tokio::time::sleep(IDLE).await;
    let cost = meter.since(before).await?;
    Ok(cost.statements.map(|count| count / IDLE.as_secs_f64()))
}

async fn counters(target: &Target) -> Result<Option<Counters>> {
    match &target.meter {
        Some(meter) => Ok(Some(meter.read().await?)),
        None => Ok(None),
    }
}

async fn cost(target: &Target, before: Option<Counters>) -> Result<Option<Cost>> {
    match (&target.meter, before) {
        (Some(meter), Some(before)) => Ok(Some(meter.since(before).await?)),
        _ => Ok(None),
    }
}
