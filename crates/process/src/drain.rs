//! One way out: a signal, or a part that failed, stops every part; each has a
//! bounded time to finish.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Display;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What a shell reports for a program that a second Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Why a process did not end well.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// A part ended by itself, and the others with it.
    #[error("{}", .0.join("; "))]
    Failed(Vec<String>),
    /// Parts that did not finish in time.
    #[error("still running after {} s: {}", deadline.as_secs_f32(), parts.join(", "))]
    Overdue {
        /// The time they had.
        deadline: Duration,
        /// Their names.
        parts: Vec<&'static str>,
    },
}

/// The parts of a process and the order to stop.
#[derive(Debug, Clone)]
pub struct Drain {
    stop: CancellationToken,
    tasks: TaskTracker,
    state: Arc<Mutex<State>>,
    deadline: Duration,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    running: BTreeMap<u64, &'static str>,
    failures: Vec<String>,
}

impl Drain {
    /// Parts have `deadline` to finish once the order is given.
    #[must_use]
    pub fn new(deadline: Duration) -> Self {
        Self {
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            state: Arc::default(),
            deadline,
        }
    }

    /// Gives the order on SIGINT or SIGTERM; a second signal exits at once.
    ///
    /// # Errors
    /// If the system does not let us listen for signals.
    pub fn on_signals(&self) -> io::Result<()> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let drain = self.clone();
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    Some(()) = interrupt.recv() => "SIGINT",
                    Some(()) = terminate.recv() => "SIGTERM",
                    else => return,
                };
                if drain.stop.is_cancelled() {
                    tracing::warn!(signal = name, "second signal: exiting at once");
                    std::process::exit(INTERRUPTED);
                }
                drain.begin(name);
            }
        });
        Ok(())
    }

    /// Gives the order.
    pub fn begin(&self, reason: impl Display) {
        if !self.stop.is_cancelled() {
            tracing::info!(%reason, deadline = ?self.deadline, "draining");
            self.stop.cancel();
        }
    }

    /// The order; parts wait for it.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs a part of the process. A part ends when the order is given; one that
    /// ends before, fails or panics gives the order itself and is named by
    /// [`Drain::finished`].
    pub fn spawn<E>(
        &self,
        name: &'static str,
        part: impl Future<Output = Result<(), E>> + Send + 'static,
    ) where
        E: Into<Box<dyn Error + Send + Sync>> + Send + 'static,
    {
        let drain = self.clone();
        let key = self.with_state(|state| {
            state.next += 1;
            state.running.insert(state.next, name);
            state.next
        });
        self.tasks.spawn(async move {
            let outcome = tokio::spawn(part).await;
            let failure = match outcome {
                Ok(Ok(())) if drain.stop.is_cancelled() => None,
                Ok(Ok(())) => Some(format!("{name} ended by itself")),
                Ok(Err(error)) => Some(format!("{name}: {}", error.into())),
                Err(panicked) => Some(format!("{name}: {panicked}")),
            };
            drain.with_state(|state| {
                state.running.remove(&key);
                state.failures.extend(failure.clone());
            });
            if let Some(failure) = failure {
                tracing::error!(part = name, "{failure}");
                drain.begin(failure);
            }
        });
    }

    /// Waits for the order, then for every part, at most for the deadline.
    ///
    /// # Errors
    /// [`DrainError`] names the parts that failed or are still running.
    pub async fn finished(&self) -> Result<(), DrainError> {
        self.stop.cancelled().await;
        self.tasks.close();
        let ended = tokio::time::timeout(self.deadline, self.tasks.wait()).await;
        self.with_state(|state| {
            if !state.failures.is_empty() {
                return Err(DrainError::Failed(state.failures.clone()));
            }
            match ended {
                Ok(()) => Ok(()),
                Err(_) => Err(DrainError::Overdue {
                    deadline: self.deadline,
                    parts: state.running.values().copied().collect(),
                }),
            }
        })
    }

    fn with_state<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        // Nothing under this lock can panic, so a poisoned one is still whole.
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[tokio::test]
    async fn parts_end_with_the_order() {
        let drain = Drain::new(Duration::from_secs(5));
        let token = drain.token();
        drain.spawn("part", async move {
            token.cancelled().await;
            Ok::<_, io::Error>(())
        });
        drain.begin("test");
        drain.finished().await.unwrap();
    }

    #[tokio::test]
    async fn a_part_that_fails_stops_the_others_and_is_named() {
        let drain = Drain::new(Duration::from_secs(5));
        let token = drain.token();
        drain.spawn("steady", async move {
            token.cancelled().await;
            Ok::<_, io::Error>(())
        });
        drain.spawn("broken", async { Err(io::Error::other("disk on fire")) });
        let error = drain.finished().await.unwrap_err().to_string();
        assert_eq!(error, "broken: disk on fire");
    }

    #[tokio::test]
    async fn a_part_that_ends_too_early_is_a_failure() {
        let drain = Drain::new(Duration::from_secs(5));
        drain.spawn("short", async { Ok::<_, io::Error>(()) });
        assert_eq!(
            drain.finished().await.unwrap_err().to_string(),
            "short ended by itself"
        );
    }

    #[tokio::test]
    async fn a_part_that_does_not_end_is_named() {
        let drain = Drain::new(Duration::from_millis(20));
        drain.spawn("stuck", std::future::pending::<Result<(), io::Error>>());
        drain.begin("test");
        let error = drain.finished().await.unwrap_err().to_string();
        assert!(
            error.starts_with("still running") && error.ends_with("stuck"),
            "{error}"
        );
    }
}
