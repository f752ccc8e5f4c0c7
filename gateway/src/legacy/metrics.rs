//! Request counters under the legacy names (contract/routes.md, `/metrics`).

use std::collections::HashMap;
use std::time::Duration;

use ::metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use parking_lot::RwLock;

/// The counters of one route, made once each: looking a labelled counter up by
/// name for every request would cost more than counting.
pub(crate) struct RouteMetrics {
    method: &'static str,
    path: &'static str,
    seconds: Histogram,
    by_status: RwLock<HashMap<u16, (Counter, Gauge)>>,
}

impl RouteMetrics {
    pub fn new(method: &'static str, path: &'static str) -> Self {
        Self {
            method,
            path,
            seconds: histogram!("candor_http_request_seconds", "method" => method, "path" => path),
            by_status: RwLock::default(),
        }
    }

    /// Counts one answer.
    pub fn answered(&self, status: u16, took: Duration) {
        self.seconds.record(took.as_secs_f64());
        if let Some((requests, duration)) = self.by_status.read().get(&status) {
            requests.increment(1);
            duration.increment(took.as_secs_f64());
            return;
        }
        let counters = self.counters(status);
        counters.0.increment(1);
        counters.1.increment(took.as_secs_f64());
        self.by_status.write().insert(status, counters);
    }

    /// The sum of times is a gauge here, because a counter of this recorder
    /// holds whole numbers.
    fn counters(&self, status: u16) -> (Counter, Gauge) {
        let labels = [
            ("method", self.method.to_owned()),
            ("path", self.path.to_owned()),
            ("status", status.to_string()),
        ];
        (
            counter!("molecule_http_requests_total", &labels),
            gauge!("molecule_http_request_duration_seconds_total", &labels),
        )
    }
}
