//! When the next beat is due.

use std::time::Duration;

use rand::Rng as _;

/// How far a beat may be from its time, as a share of the interval: many agents must
/// not beat together.
const JITTER: f64 = 0.1;
/// The first pause after a beat without an answer; each further one doubles it.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The shortest and the longest interval that a platform may ask for.
const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(300);

/// The interval that the platform last asked for, and the failures since.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    interval: Duration,
    failures: u32,
}

impl Pace {
    /// Until a platform says otherwise.
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval: interval.clamp(SHORTEST, LONGEST),
            failures: 0,
        }
    }

    /// The platform took the beat, and says when it wants the next one.
    pub(super) fn answered(&mut self, next: Option<Duration>) {
        self.failures = 0;
        if let Some(next) = next.filter(|next| !next.is_zero()) {
            self.interval = next.clamp(SHORTEST, LONGEST);
        }
    }

    /// It did not. Returns how many in a row now.
    pub(super) fn failed(&mut self) -> u32 {
        self.failures = self.failures.saturating_add(1);
        self.failures
    }

    /// Whether the last beat was not taken.
    pub(super) fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// How long to wait for the next beat: the interval, or less after a failure, since
    /// the lease runs.
    pub(super) fn pause(&self) -> Duration {
        let whole = self.whole();
        let spread = 2.0 * rand::rng().random::<f64>() - 1.0;
        whole.mul_f64(1.0 + JITTER * spread)
    }

    fn whole(&self) -> Duration {
        if self.failures == 0 {
            return self.interval;
        }
        let doubled = FIRST_RETRY.saturating_mul(1 << (self.failures - 1).min(10));
        doubled.min(self.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platform_sets_the_pace_within_reason() {
        let mut pace = Pace::new(Duration::from_secs(30));
        let about = |pace: &Pace, seconds: f64| {
            let pause = pace.pause().as_secs_f64();
            assert!(
                (pause / seconds - 1.0).abs() <= 0.101,
                "{pause} for {seconds}"
            );
        };
        about(&pace, 30.0);
        pace.answered(Some(Duration::from_secs(10)));
        about(&pace, 10.0);
        pace.answered(None);
        about(&pace, 10.0);
        pace.answered(Some(Duration::ZERO));
        about(&pace, 10.0);
        pace.answered(Some(Duration::from_secs(86_400)));
        about(&pace, 300.0);
    }

    #[test]
    fn failures_wait_longer_each_time_and_never_longer_than_a_beat() {
        let mut pace = Pace::new(Duration::from_secs(10));
        let waits: Vec<u64> = (1..=8)
            .map(|n| {
                assert_eq!(pace.failed(), n);
                pace.whole().as_secs()
            })
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 10, 10, 10, 10]);
        pace.answered(None);
        assert_eq!(pace.whole().as_secs(), 10);
    }
}
