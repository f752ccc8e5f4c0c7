//! Metrics: one recorder a process, rendered for Prometheus.

use std::fmt;
use std::time::Duration;

use metrics::{Unit, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

/// Upper bounds of every `*_seconds` histogram: from a beat in memory to an
/// agent that thinks for minutes.
const SECONDS: &[f64] = &[
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0, 60.0, 300.0,
];
/// Upper bounds of every `*_size` histogram: members of a batch, queue lengths.
const SIZES: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0,
];
/// Between two drains of what histograms collected; without them memory grows
/// for as long as nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// The process's metrics.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Installs the recorder for the whole process.
    ///
    /// # Errors
    /// If another recorder is installed.
    pub fn install(service_name: &'static str) -> Result<Self, BuildError> {
        let handle = builder()?.install_recorder()?;
        describe();
        gauge!("candor_build_info", "service" => service_name, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        Ok(Self(handle))
    }

    /// A recorder that nothing writes to, for a server in a test.
    ///
    /// # Errors
    /// Never in practice; the bucket list is constant.
    pub fn detached() -> Result<Self, BuildError> {
        Ok(Self(builder()?.build_recorder().handle()))
    }

    /// The Prometheus text.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Drains histograms until `stop`.
    pub async fn upkeep(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(UPKEEP);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.0.run_upkeep();
        }
    }
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_size".into()), SIZES)
}

/// The metrics of this crate; each service describes its own.
fn describe() {
    describe_gauge!(
        "candor_build_info",
        Unit::Count,
        "1, with the service and its version"
    );
    describe_counter!(
        "candor_store_unavailable_total",
        Unit::Count,
        "statements that failed because Postgres was away or gave up"
    );
}
