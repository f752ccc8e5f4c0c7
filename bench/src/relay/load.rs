//! Loads of calls on one target, each with its cost.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::caller::Caller;
use super::targets::{Kind, Target};
use crate::Result;
use crate::closed::flood;
use crate::cpu::Shares;
use crate::meter::Cost;
use crate::rate::paced;
use crate::report::STOLEN;
use crate::statistics::millis;

/// Calls a second of a load at a fixed rate.
pub const RATE: u32 = 500;
/// Callers of such a load: as many calls may be on their way.
const CALLERS: usize = 64;
/// Seconds that are not counted.
const WARM_UP: u32 = 1;

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub enum Load {
    /// [`RATE`], for so many seconds.
    Paced(u32),
    /// As many as are answered to so many callers, for so many seconds.
    Flood(usize, u32),
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// On whom.
    pub kind: Kind,
    /// Calls in a second.
    pub rate: f64,
    /// Median latency.
    pub p50: Duration,
    /// Its 99th percentile.
    pub p99: Duration,
    calls: u64,
    late_p99: Option<Duration>,
    cost: Option<Cost>,
    cpu: Shares,
}

/// Latencies of a load.
struct Sent {
    calls: u64,
    rate: f64,
    p50: Duration,
    p99: Duration,
    late_p99: Option<Duration>,
}

impl Load {
    /// Sends it, after a second that is not counted.
    pub async fn on(self, target: &Arc<Target>) -> Result<Measured> {
        target.beat().await?;
        self.lasting(WARM_UP).send(target).await?;
        let before = match &target.meter {
            Some(meter) => Some(meter.read().await?),
            None => None,
        };
        let watch = target.watch()?;
        let sent = self.send(target).await?;
        let cpu = watch.end()?;
        let cost = match (&target.meter, before) {
            (Some(meter), Some(before)) => Some(meter.since(before).await?),
            _ => None,
        };
        Ok(Measured {
            kind: target.kind,
            rate: sent.rate,
            p50: sent.p50,
            p99: sent.p99,
            calls: sent.calls,
            late_p99: sent.late_p99,
            cost,
            cpu,
        })
    }

    fn lasting(self, seconds: u32) -> Self {
        match self {
            Self::Paced(_) => Self::Paced(seconds),
            Self::Flood(callers, _) => Self::Flood(callers, seconds),
        }
    }

    async fn send(self, target: &Arc<Target>) -> Result<Sent> {
        let (kind, target) = (target.kind, Arc::clone(target));
        let sent = tokio::task::spawn_blocking(move || self.block(&target)).await?;
        sent.map_err(|error| format!("{kind}: {error}").into())
    }

    fn block(self, target: &Arc<Target>) -> Result<Sent> {
        match self {
            Self::Paced(seconds) => {
                let rated = paced(RATE, seconds, Caller::some(target, CALLERS)?)?;
                Ok(Sent {
                    calls: rated.requests,
                    rate: rated.requests as f64 / f64::from(seconds),
                    p50: rated.p50,
                    p99: rated.p99,
                    late_p99: Some(rated.late_p99),
                })
            }
            Self::Flood(callers, seconds) => {
                let flooded = flood(seconds, Caller::some(target, callers)?)?;
                Ok(Sent {
                    calls: flooded.requests,
                    rate: flooded.rate,
                    p50: flooded.p50,
                    p99: flooded.p99,
                    late_p99: None,
                })
            }
        }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "  {:<22} {:>6.0} calls/s   p50 {:>6.2} ms   p99 {:>6.2} ms",
            self.kind,
            self.rate,
            millis(self.p50),
            millis(self.p99)
        )?;
        if let Some(late) = self.late_p99 {
            write!(f, "   late {:.2} ms", millis(late))?;
        }
        if let Some(cost) = self.cost {
            let calls = self.calls.max(1) as f64;
            if let Some(statements) = cost.statements {
                write!(f, "   {:.2} statements", statements / calls)?;
            }
            write!(f, "   {:.0} B of WAL", cost.wal / calls)?;
        }
        let cpu = &self.cpu;
        write!(
            f,
            "   target {:.0} %, agents {:.0} %, postgres {:.0} %, generator {:.0} %, idle {:.0} %, steal {:.1} %",
            cpu.candor, cpu.agent, cpu.postgres, cpu.generator, cpu.idle, cpu.stolen
        )?;
        if cpu.stolen > STOLEN {
            f.write_str("  STOLEN")?;
        }
        Ok(())
    }
}

#[cfg(test)]
impl Measured {
    /// One with nothing but these.
    pub fn example(kind: Kind, rate: f64, latency: Duration) -> Self {
        Self {
            kind,
            rate,
            p50: latency,
            p99: latency,
            calls: 1,
            late_p99: None,
            cost: None,
            cpu: Shares::default(),
        }
    }
}
