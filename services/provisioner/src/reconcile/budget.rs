//! How often an instance is started again by itself (design section 5: at most three
//! times in ten minutes), and how long is waited before.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// What is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Restarts within the window.
    pub most: usize,
    /// The window.
    pub window: Duration,
    /// The pause before the first one; it doubles with each.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            most: 3,
            window: Duration::from_secs(600),
            first_pause: Duration::from_secs(2),
            longest_pause: Duration::from_secs(60),
        }
    }
}

/// Whether another restart is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not before then.
    From(DateTime<Utc>),
    /// The budget is spent: somebody has to look.
    Spent,
}

impl Budget {
    /// Judges another restart; `restarts` are the times of those before, in any order.
    #[must_use]
    pub fn judge(&self, restarts: &[DateTime<Utc>], now: DateTime<Utc>) -> Verdict {
        let window = TimeDelta::from_std(self.window).unwrap_or(TimeDelta::MAX);
        let lately = restarts
            .iter()
            .filter(|at| now.signed_duration_since(**at) < window);
        let (count, last) = lately.fold((0_usize, None), |(count, last), at| {
            (count + 1, last.max(Some(*at)))
        });
        if count >= self.most {
            return Verdict::Spent;
        }
        let Some(last) = last else {
            return Verdict::From(now);
        };
        let doubled = 1_u32 << u32::try_from(count - 1).unwrap_or(u32::MAX).min(16);
        let pause = self
            .first_pause
            .saturating_mul(doubled)
            .min(self.longest_pause);
        let pause = TimeDelta::from_std(pause).unwrap_or(TimeDelta::MAX);
        let from = last.checked_add_signed(pause).unwrap_or(now);
        Verdict::From(from.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000 + seconds, 0).unwrap_or_default()
    }

    #[test]
    fn three_in_ten_minutes_with_growing_pauses() {
        let budget = Budget::default();
        assert_eq!(budget.judge(&[], at(0)), Verdict::From(at(0)));
        assert_eq!(budget.judge(&[at(0)], at(0)), Verdict::From(at(2)));
        assert_eq!(budget.judge(&[at(0), at(3)], at(3)), Verdict::From(at(7)));
        assert_eq!(budget.judge(&[at(0), at(3), at(8)], at(9)), Verdict::Spent);
        assert_eq!(
            budget.judge(&[at(0), at(3), at(8)], at(599)),
            Verdict::Spent
        );
        assert_eq!(
            budget.judge(&[at(8), at(0), at(3)], at(600)),
            Verdict::From(at(600))
        );
        assert_eq!(
            budget.judge(&[at(0)], at(100)),
            Verdict::From(at(100)),
            "never in the past"
        );
    }
}
