//! The two clocks of a call: it ends when the agent says nothing for too long, and at
//! its ceiling whatever it says.

use std::future::Future;
use std::time::{Duration, Instant};

use candor_egress::Progress;

/// Why a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expired {
    /// The agent said nothing for so long.
    Idle(Duration),
    /// It went on for so long.
    Ceiling(Duration),
}

impl Expired {
    /// For people.
    pub(super) fn text(self) -> String {
        match self {
            Self::Idle(idle) => {
                format!("nothing came from the agent for {} s", idle.as_secs_f64())
            }
            Self::Ceiling(ceiling) => {
                format!("no whole answer within {} s", ceiling.as_secs_f64())
            }
        }
    }
}

/// The clocks of one call.
#[derive(Debug)]
pub(super) struct Clock {
    /// None once only the ceiling counts.
    idle: Option<Duration>,
    ceiling: Duration,
    started: Instant,
    moved: Instant,
    progress: Progress,
    /// Bytes that had come when it was looked at; none once bytes as such count for
    /// nothing.
    received: Option<u64>,
}

impl Clock {
    /// Starts now; bytes are those that `progress` counts.
    pub(super) fn start(idle: Duration, ceiling: Duration, progress: Progress) -> Self {
        let now = Instant::now();
        Self {
            idle: Some(idle),
            ceiling,
            started: now,
            moved: now,
            progress,
            received: Some(0),
        }
    }

    /// When the call began.
    pub(super) const fn started(&self) -> Instant {
        self.started
    }

    /// The idle clock begins anew: the agent said something.
    pub(super) fn moved(&mut self) {
        self.look();
        self.moved = Instant::now();
    }

    /// From now on bytes that nobody has read are no sign of anything: a stream may
    /// have none but comments in it.
    pub(super) fn ignore_bytes(&mut self) {
        self.received = None;
    }

    /// The agent was not listened to since then: that time is not its own.
    pub(super) fn excuse(&mut self, since: Instant) {
        let now = Instant::now();
        self.look();
        self.moved = (self.moved + now.duration_since(since)).min(now);
    }

    /// From now on only the ceiling counts.
    pub(super) fn ignore_idle(&mut self) {
        self.idle = None;
    }

    /// Waits for `work` while the clocks allow it.
    pub(super) async fn within<F: Future + Unpin>(
        &mut self,
        mut work: F,
    ) -> Result<F::Output, Expired> {
        loop {
            let (end, why) = self.end();
            // Who always has something ready meets the ceiling, too.
            if matches!(why, Expired::Ceiling(_)) && end <= Instant::now() {
                return Err(why);
            }
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = tokio::time::sleep_until(end.into()) => {
                    if !self.has_received() {
                        return Err(why);
                    }
                }
            }
        }
    }

    fn end(&self) -> (Instant, Expired) {
        let ceiling = (self.started + self.ceiling, Expired::Ceiling(self.ceiling));
        let Some(idle) = self.idle else {
            return ceiling;
        };
        match self.moved + idle < ceiling.0 {
            true => (self.moved + idle, Expired::Idle(idle)),
            false => ceiling,
        }
    }

    /// Whether bytes came that nobody read yet, such as half of a head.
    fn has_received(&mut self) -> bool {
        let is_news = self
            .received
            .is_some_and(|received| self.progress.received() > received);
        if is_news {
            self.moved();
        }
        is_news
    }

    fn look(&mut self) {
        if let Some(received) = &mut self.received {
            *received = self.progress.received();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn clock(idle: Duration) -> Clock {
        Clock::start(idle, LONG, Progress::new())
    }

    #[tokio::test]
    async fn what_was_not_listened_to_is_excused_and_no_more() {
        let mut late = clock(LONG);
        late.moved -= LONG;
        let now = Instant::now();
        late.excuse(now - LONG / 2);
        let (end, why) = late.end();
        assert_eq!(why, Expired::Idle(LONG));
        assert!(end >= now + LONG / 2 && end < now + LONG, "{:?}", end - now);
        // Nobody is owed more than a whole budget.
        late.excuse(now - LONG);
        assert!(late.moved <= Instant::now());

        let mut short = clock(Duration::from_millis(1));
        let ended = short.within(Box::pin(pending::<()>())).await;
        assert_eq!(ended, Err(Expired::Idle(Duration::from_millis(1))));
    }
}
