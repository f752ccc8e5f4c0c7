//! The two clocks of a call (design: section 9): it ends when nothing moves for too
//! long, and at its ceiling whatever moves.

use std::future::Future;
use std::time::{Duration, Instant};

use crate::follow::Watch;

/// The ceiling of every call.
pub const CEILING: Duration = Duration::from_secs(30 * 60);

/// Why a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expired {
    /// Nothing moved for as long as its agent may be silent.
    Idle(Duration),
    /// The ceiling, or the caller's own limit.
    Ceiling(Duration),
}

impl Expired {
    /// For people.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::Idle(idle) => {
                format!("no answer and no progress for {} s", idle.as_secs())
            }
            Self::Ceiling(ceiling) => {
                format!("no answer within {} s", ceiling.as_secs_f64())
            }
        }
    }
}

/// The clocks of one call.
#[derive(Debug)]
pub struct Clock {
    idle: Duration,
    ceiling: Duration,
    started: Instant,
    /// Bytes of the answer, as far as they came.
    moved: Instant,
    watch: Watch,
}

impl Clock {
    /// Starts now; `limit` is the caller's own.
    #[must_use]
    pub fn start(idle: Duration, limit: Option<Duration>, watch: Watch) -> Self {
        let now = Instant::now();
        Self {
            idle,
            ceiling: limit.map_or(CEILING, |limit| limit.min(CEILING)),
            started: now,
            moved: now,
            watch,
        }
    }

    /// The latest end of the call, from its start.
    #[must_use]
    pub const fn ceiling(&self) -> Duration {
        self.ceiling
    }

    /// How long the agent had before the call ended, or would have.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.idle.min(self.ceiling)
    }

    /// True if the agent did nothing since the call began.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.moved == self.started && self.watch.last().is_none_or(|at| at < self.started)
    }

    /// Bytes came.
    pub fn moved(&mut self) {
        self.moved = Instant::now();
    }

    /// Since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn end(&self) -> (Instant, Expired) {
        let last = self
            .watch
            .last()
            .map_or(self.moved, |at| at.max(self.moved));
        let idle = last + self.idle;
        let ceiling = self.started + self.ceiling;
        match idle < ceiling {
            true => (idle, Expired::Idle(self.idle)),
            false => (ceiling, Expired::Ceiling(self.ceiling)),
        }
    }

    /// Waits for `work` while the clocks allow it. `work` is not dropped at a
    /// deadline that progress has moved meanwhile.
    ///
    /// # Errors
    /// [`Expired`]; then `work` was dropped.
    pub async fn within<F: Future>(&self, work: F) -> Result<F::Output, Expired> {
        tokio::pin!(work);
        // Who always has something ready meets the ceiling, too.
        if self.elapsed() >= self.ceiling {
            return Err(Expired::Ceiling(self.ceiling));
        }
        loop {
            let (end, _) = self.end();
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = tokio::time::sleep_until(end.into()) => {
                    let (end, why) = self.end();
                    if end <= Instant::now() {
                        return Err(why);
                    }
                }
            }
        }
    }
}
