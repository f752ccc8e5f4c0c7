//! What came of a load, in a line.

use std::fmt;
use std::time::Duration;

use crate::cpu::Shares;
use crate::report::STOLEN;
use crate::statistics::{millis, percentile};

/// A load's figures.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Of what.
    pub what: &'static str,
    /// What is counted.
    pub unit: &'static str,
    /// How many in a second.
    pub rate: f64,
    /// Median latency.
    pub p50: Duration,
    /// Its 99th percentile.
    pub p99: Duration,
    /// Whose the CPU was.
    pub cpu: Shares,
}

impl Measured {
    /// Figures of latencies; each is of `each` things that are counted.
    pub fn of(
        (what, unit): (&'static str, &'static str),
        mut latencies: Vec<Duration>,
        each: usize,
        took: Duration,
        cpu: Shares,
    ) -> Self {
        latencies.sort_unstable();
        Self {
            what,
            unit,
            rate: (latencies.len() * each) as f64 / took.as_secs_f64().max(1e-9),
            p50: percentile(&latencies, 50),
            p99: percentile(&latencies, 99),
            cpu,
        }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "  {:<36} {:>8.0} {:<7} p50 {:>7.2} ms   p99 {:>7.2} ms   {}{}",
            self.what,
            self.rate,
            self.unit,
            millis(self.p50),
            millis(self.p99),
            self.cpu,
            if self.cpu.stolen > STOLEN {
                "  STOLEN"
            } else {
                ""
            }
        )
    }
}
