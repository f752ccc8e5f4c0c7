//! The share of failed turns over the last minute.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The time that counts.
const WINDOW: Duration = Duration::from_secs(60);
/// The grain of that time.
const GRAIN: Duration = Duration::from_secs(1);

/// What happened in one grain of time.
#[derive(Debug)]
struct Grain {
    from: Instant,
    answered: u32,
    failed: u32,
}

/// Outcomes of turns. No more than the window's grains are kept.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    grains: VecDeque<Grain>,
    sample: String,
    /// The share that was last computed from outcomes.
    last: f64,
}

impl Outcomes {
    pub(super) fn success(&mut self, now: Instant) {
        self.grain(now).answered += 1;
        self.count(now);
    }

    pub(super) fn failure(&mut self, now: Instant, error: String) {
        self.grain(now).failed += 1;
        self.sample = error;
        self.count(now);
    }

    /// The share of failed turns, and the newest of their errors. A minute without
    /// turns is no evidence that the agent recovered: the last share stays until
    /// there is another outcome.
    pub(super) fn rate(&mut self, now: Instant) -> (f64, String) {
        self.count(now);
        (self.last, self.sample.clone())
    }

    fn count(&mut self, now: Instant) {
        while self
            .grains
            .front()
            .is_some_and(|grain| now.duration_since(grain.from) >= WINDOW)
        {
            self.grains.pop_front();
        }
        let sum = |count: fn(&Grain) -> u32| self.grains.iter().map(count).map(f64::from).sum();
        let (answered, failed): (f64, f64) = (sum(|g| g.answered), sum(|g| g.failed));
        if answered + failed > 0.0 {
            self.last = failed / (answered + failed);
        }
        if self.last == 0.0 {
            self.sample.clear();
        }
    }

    fn grain(&mut self, now: Instant) -> &mut Grain {
        let is_new = self
            .grains
            .back()
            .is_none_or(|grain| now.duration_since(grain.from) >= GRAIN);
        if is_new {
            self.grains.push_back(Grain {
                from: now,
                answered: 0,
                failed: 0,
            });
        }
        let last = self.grains.len() - 1;
        &mut self.grains[last]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(outcomes: &mut Outcomes, now: Instant) -> (f64, String) {
        outcomes.rate(now)
    }

    #[test]
    fn the_rate_is_that_of_the_last_minute() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut outcomes = Outcomes::default();
        assert_eq!(rate(&mut outcomes, at(0)), (0.0, String::new()));
        outcomes.failure(at(0), "first".into());
        outcomes.failure(at(1), "second".into());
        outcomes.success(at(30));
        outcomes.success(at(31));
        assert_eq!(rate(&mut outcomes, at(31)), (0.5, "second".into()));
        assert_eq!(rate(&mut outcomes, at(61)), (0.0, String::new()));
    }

    #[test]
    fn silence_is_no_recovery() {
        let start = Instant::now();
        let mut outcomes = Outcomes::default();
        outcomes.failure(start, "broken".into());
        let later = start + Duration::from_secs(600);
        assert_eq!(rate(&mut outcomes, later), (1.0, "broken".into()));
        outcomes.success(later);
        assert_eq!(rate(&mut outcomes, later), (0.0, String::new()));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let start = Instant::now();
        let mut outcomes = Outcomes::default();
        for millis in (0..600_000_u64).step_by(100) {
            outcomes.success(start + Duration::from_millis(millis));
        }
        assert!(outcomes.grains.len() <= 61, "{}", outcomes.grains.len());
    }
}
