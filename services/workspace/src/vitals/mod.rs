//! What really happened in this process: turns, errors, progress, the wedge. The
//! heartbeat reads it when it sends.

mod outcomes;
mod report;
mod standing;

use std::sync::Arc;
use std::time::{Duration, Instant};

use candor_kernel::TurnProgress;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::sync::Notify;

pub use report::Report;
pub use standing::Standing;

use self::outcomes::Outcomes;
use crate::executor::{Capabilities, Executor};
use crate::wedge::Wedge;

/// Longest description of a task, in characters.
const TASK: usize = 120;
/// Longest error that is told in a beat, in characters.
const ERROR: usize = 1_000;

/// The state that every part of the process shares.
#[derive(Debug)]
pub struct Vitals {
    started: Instant,
    capabilities: Capabilities,
    idle_budget: Option<Duration>,
    wedge: Wedge,
    inner: Mutex<Inner>,
    changed: Notify,
    worth_a_beat: Notify,
    idle: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    outcomes: Outcomes,
    progress: TurnProgress,
    active: usize,
    task: String,
    quiet_until: Option<DateTime<Utc>>,
    standing: Standing,
    heard: bool,
}

/// A turn while it runs; it is over when this is dropped.
#[derive(Debug)]
pub struct Counted {
    vitals: Arc<Vitals>,
}

impl Vitals {
    /// Nothing happened yet; what is declared is `executor`'s.
    #[must_use]
    pub fn new(executor: &dyn Executor) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            capabilities: executor.capabilities(),
            idle_budget: executor.idle_budget(),
            wedge: Wedge::new(executor.recovery()),
            inner: Mutex::default(),
            changed: Notify::new(),
            worth_a_beat: Notify::new(),
            idle: Notify::new(),
        })
    }

    /// A turn begins; `task` is what it is about.
    #[must_use]
    pub fn begin(self: &Arc<Self>, task: &str) -> Counted {
        let mut inner = self.inner.lock();
        inner.active += 1;
        inner.progress.begun += 1;
        inner.task = first_line(task, TASK);
        drop(inner);
        self.worth_a_beat.notify_one();
        Counted {
            vitals: Arc::clone(self),
        }
    }

    /// Something moved in a turn: a piece of an answer, the use of a tool.
    pub fn moved(&self) {
        self.inner.lock().progress.moved += 1;
    }

    /// The agent can no longer answer. The first reason stays.
    pub fn mark_wedged(&self, reason: &str) {
        if self.wedge.mark(&cut(reason, ERROR)) {
            tracing::error!(reason, "wedged: this agent can no longer answer");
            metrics::gauge!("candor_workspace_wedged").set(1.0);
            self.changed.notify_one();
        }
    }

    /// The agent was seen to answer; ends a wedge where that proves anything.
    pub fn observed_success(&self) {
        if self.wedge.observed_success() {
            tracing::info!("the agent answers again: no longer wedged");
            metrics::gauge!("candor_workspace_wedged").set(0.0);
            self.changed.notify_one();
        }
    }

    /// Whether the agent can no longer answer.
    #[must_use]
    pub fn is_wedged(&self) -> bool {
        self.wedge.is_wedged()
    }

    /// Why it cannot.
    #[must_use]
    pub fn wedge_reason(&self) -> Option<Arc<str>> {
        self.wedge.wedge_reason()
    }

    /// Turns that run or wait.
    #[must_use]
    pub fn active(&self) -> usize {
        self.inner.lock().active
    }

    /// Ends when no turn runs or waits.
    pub async fn idle(&self) {
        let mut idle = std::pin::pin!(self.idle.notified());
        loop {
            // Before the look, so that an end between the two is not missed.
            idle.as_mut().enable();
            if self.active() == 0 {
                return;
            }
            idle.as_mut().await;
            idle.set(self.idle.notified());
        }
    }

    /// What this process is to the platform.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.inner.lock().standing
    }

    /// The platform, or a signal, said what this process is.
    pub fn stand(&self, standing: Standing) {
        let mut inner = self.inner.lock();
        if inner.standing.may_change() {
            inner.standing = standing;
        }
    }

    /// The platform took the last beat, or did not.
    pub fn heard(&self, heard: bool) {
        self.inner.lock().heard = heard;
    }

    /// Whether work can be given to this agent.
    ///
    /// # Errors
    /// Why not.
    pub fn readiness(&self) -> Result<(), String> {
        if let Some(reason) = self.wedge_reason() {
            return Err(format!("wedged: {reason}"));
        }
        let inner = self.inner.lock();
        match inner.standing.refusal() {
            Some(why) => Err(why.to_owned()),
            None if inner.heard => Ok(()),
            None => Err("the platform has not taken the last beat".to_owned()),
        }
    }

    /// No beat is to be expected before then: for executors whose work stops the whole
    /// process. The platform keeps what it was told; `None` only stops telling it.
    pub fn expect_quiet_until(&self, until: Option<DateTime<Utc>>) {
        self.inner.lock().quiet_until = until;
        self.worth_a_beat.notify_one();
    }

    /// What a beat says now. The wedge is layered over everything else.
    #[must_use]
    pub fn report(&self) -> Report {
        let now = Instant::now();
        let mut inner = self.inner.lock();
        let (error_rate, sample_error) = inner.outcomes.rate(now);
        let mut report = Report {
            error_rate,
            sample_error,
            active_tasks: i32::try_from(inner.active).unwrap_or(i32::MAX),
            current_task: inner.task.clone(),
            uptime_seconds: i32::try_from(self.started.elapsed().as_secs()).unwrap_or(i32::MAX),
            runtime_state: "",
            capabilities: self.capabilities.clone(),
            idle_budget: self.idle_budget,
            quiet_until: inner.quiet_until.filter(|until| *until > Utc::now()),
            progress: inner.progress,
        };
        drop(inner);
        if let Some(reason) = self.wedge.wedge_reason() {
            report.wedged(&reason);
        }
        report
    }

    /// Ends when the runtime state changed and no beat has said so.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Ends when something happened that is worth an early beat.
    pub async fn worth_a_beat(&self) {
        self.worth_a_beat.notified().await;
    }
}

// === impl Counted ===

impl Counted {
    /// It has an answer.
    pub fn answered(&mut self) {
        let mut inner = self.vitals.inner.lock();
        inner.progress.answered += 1;
        inner.outcomes.success(Instant::now());
        drop(inner);
        self.vitals.observed_success();
    }

    /// It failed, with this error.
    pub fn failed(&mut self, error: &str) {
        let mut inner = self.vitals.inner.lock();
        inner.progress.failed += 1;
        inner.outcomes.failure(Instant::now(), cut(error, ERROR));
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut inner = self.vitals.inner.lock();
        inner.active -= 1;
        let is_idle = inner.active == 0;
        if is_idle {
            inner.task.clear();
        }
        drop(inner);
        if is_idle {
            self.vitals.idle.notify_waiters();
        }
        self.vitals.worth_a_beat.notify_one();
    }
}

/// The first line of a text, at most so many characters.
fn first_line(text: &str, most: usize) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    cut(line, most)
}

/// At most so many characters, without what no column can hold.
fn cut(text: &str, most: usize) -> String {
    text.chars().filter(|c| *c != '\0').take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::echo::Echo;

    #[test]
    fn a_beat_says_what_happened_and_the_wedge_over_it() {
        let vitals = Vitals::new(&Echo);
        assert_eq!(vitals.report().runtime_state, "");
        let mut turn = vitals.begin("  count the ships\nin the harbour");
        let during = vitals.report();
        assert_eq!(
            (during.active_tasks, during.current_task.as_str()),
            (1, "count the ships")
        );
        turn.failed("HTTP 500 from model");
        drop(turn);
        let after = vitals.report();
        assert_eq!((after.active_tasks, after.current_task.as_str()), (0, ""));
        assert!((after.error_rate - 1.0).abs() < f64::EPSILON);
        assert_eq!(after.sample_error, "HTTP 500 from model");
        vitals.mark_wedged("Control request timeout: initialize");
        vitals.mark_wedged("another");
        let wedged = vitals.report();
        assert_eq!(wedged.runtime_state, "wedged");
        assert_eq!(wedged.sample_error, "Control request timeout: initialize");
        assert!((wedged.error_rate - 1.0).abs() < f64::EPSILON);
        let mut turn = vitals.begin("x");
        turn.answered();
        drop(turn);
        assert_eq!(
            vitals.report().runtime_state,
            "wedged",
            "only a new process heals"
        );
    }
}
