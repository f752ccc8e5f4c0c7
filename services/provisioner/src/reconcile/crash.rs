//! Where a provisioner kills itself, so that tests see what the next one makes of it.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{Signal, raise};

/// The n-th time that a place of this name is passed, the process ends as by `kill -9`.
/// Nowhere by default.
#[derive(Debug, Clone, Default)]
pub struct CrashPoint(Option<Arc<Point>>);

#[derive(Debug)]
struct Point {
    place: String,
    left: AtomicU32,
}

/// Not `PLACE` or `PLACE:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be PLACE or PLACE:N")]
pub struct BadCrashPoint;

impl FromStr for CrashPoint {
    type Err = BadCrashPoint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (place, times) = match text.split_once(':') {
            Some((place, times)) => (place, times.parse().map_err(|_| BadCrashPoint)?),
            None => (text, 1),
        };
        if place.is_empty() || times == 0 {
            return Err(BadCrashPoint);
        }
        Ok(Self(Some(Arc::new(Point {
            place: place.to_owned(),
            left: AtomicU32::new(times),
        }))))
    }
}

impl CrashPoint {
    /// A place that can be named.
    pub(crate) fn passed(&self, place: &str) {
        let Some(point) = self.0.as_deref().filter(|point| point.place == place) else {
            return;
        };
        if point.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            tracing::error!(place, "ends here, as it was told to");
            // It cannot fail for a process' own signal that it does not block.
            let _ = raise(Signal::SIGKILL);
        }
    }
}
