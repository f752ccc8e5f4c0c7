//! When a message is tried again.

use std::time::Duration;

use rand::Rng as _;

/// The first pause after an agent was busy.
const FIRST: Duration = Duration::from_secs(1);
/// The longest one.
const LONGEST: Duration = Duration::from_secs(60);
/// Attempts that may end without an answer in time, or with one that says to come again
/// and not when, before a message is reported as failed.
pub(super) const MOST_FRUITLESS: i32 = 5;
/// A workspace that cannot be sent anything now is looked at again so often; events
/// say it sooner.
pub(super) const HELD: Duration = Duration::from_secs(10);

/// The pause after so many attempts: doubled each time, and scattered by a fifth so
/// that messages for one agent do not come together.
pub(super) fn pause(attempts: i32) -> Duration {
    let doublings = u32::try_from(attempts.clamp(1, 16) - 1).unwrap_or(0);
    let pause = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    pause.mul_f64(rand::rng().random_range(0.8..1.2))
}

/// What an agent's Retry-After asks for, within reason.
pub(super) fn asked(retry_after: &str, attempts: i32) -> Duration {
    let asked = retry_after.trim().parse::<u64>();
    asked.map_or_else(
        |_| pause(attempts),
        |seconds| Duration::from_secs(seconds).clamp(FIRST, LONGEST * 10),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_minute_and_are_scattered() {
        for (attempts, seconds) in [(0, 1), (1, 1), (2, 2), (5, 16), (7, 60), (400, 60)] {
            let expected = Duration::from_secs(seconds);
            for _ in 0..50 {
                let pause = pause(attempts);
                assert!(pause >= expected.mul_f64(0.79) && pause <= expected.mul_f64(1.21));
            }
        }
    }

    #[test]
    fn an_agent_may_ask_for_a_pause() {
        assert_eq!(asked("7", 1), Duration::from_secs(7));
        assert_eq!(asked("0", 1), FIRST);
        assert_eq!(asked("99999999", 1), LONGEST * 10);
        assert!(asked("tomorrow", 1) <= FIRST.mul_f64(1.2));
    }
}
