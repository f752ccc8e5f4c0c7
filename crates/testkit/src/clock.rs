//! A clock that moves only when it is told to.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Shared manual time; clones tell the same time.
#[derive(Debug, Clone)]
pub struct ManualClock {
    now: Arc<Mutex<SystemTime>>,
}

impl ManualClock {
    /// Starts at `now`.
    #[must_use]
    pub fn starting_at(now: SystemTime) -> Self {
        Self {
            now: Arc::new(Mutex::new(now)),
        }
    }

    /// What it shows.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves it forward, and answers the new time.
    pub fn advance(&self, by: Duration) -> SystemTime {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now += by;
        *now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_tell_the_same_time() {
        let clock = ManualClock::starting_at(SystemTime::UNIX_EPOCH);
        let other = clock.clone();
        clock.advance(Duration::from_secs(7));
        assert_eq!(
            other.now().duration_since(SystemTime::UNIX_EPOCH).ok(),
            Some(Duration::from_secs(7))
        );
    }
}
