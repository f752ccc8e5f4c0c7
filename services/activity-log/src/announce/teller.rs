//! The task that tells the registry.

use std::time::{Duration, Instant};

use candor_kernel::{Caller, Error, ErrorKind};
use candor_peers::RegistryClient;
use candor_proto::registry::v1 as pb;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Waiting, dropped};

/// Events in one call, at most.
const MOST_AT_ONCE: usize = 64;
/// Bytes of payload after which a call is full.
const MOST_BYTES_AT_ONCE: usize = 256 * 1024;
/// Rows announced a second, at most: a little more than sockets are built for.
const MOST_A_SECOND: f64 = 2_500.0;
/// Pause before an announcement is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// How long the announcement of a row is tried. Words to a person are tried for as
/// long as the process runs.
const GIVE_UP_AFTER: Duration = Duration::from_secs(15);
/// How long the last ones are tried when the process ends.
const LAST_WORDS: Duration = Duration::from_secs(4);

/// The task's state.
pub(super) struct Teller {
    registry: RegistryClient,
    rows: mpsc::Receiver<Waiting>,
    words: mpsc::Receiver<Waiting>,
    pace: Pace,
    /// When it first saw that the process ends.
    stopped: Option<Instant>,
}

impl Teller {
    pub(super) fn new(
        registry: RegistryClient,
        rows: mpsc::Receiver<Waiting>,
        words: mpsc::Receiver<Waiting>,
    ) -> Self {
        Self {
            registry,
            rows,
            words,
            pace: Pace::full(),
            stopped: None,
        }
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                biased;
                Some(words) = self.words.recv() => batch.push(words),
                Some(row) = self.rows.recv() => self.take(row, &mut batch),
                () = stop.cancelled() => return,
                else => return,
            }
            self.fill(&mut batch);
            self.tell(batch, &stop).await;
        }
    }

    fn take(&mut self, row: Waiting, batch: &mut Vec<Waiting>) {
        if self.pace.allows() {
            batch.push(row);
        } else {
            dropped("rate", 1);
        }
    }

    /// Adds what is there already.
    fn fill(&mut self, batch: &mut Vec<Waiting>) {
        let bytes = |batch: &[Waiting]| batch.iter().map(|one| one.weight.bytes()).sum::<usize>();
        while batch.len() < MOST_AT_ONCE && bytes(batch) < MOST_BYTES_AT_ONCE {
            if let Ok(words) = self.words.try_recv() {
                batch.push(words);
            } else if let Ok(row) = self.rows.try_recv() {
                self.take(row, batch);
            } else {
                return;
            }
        }
    }

    /// Tells a batch, trying again while that makes sense.
    async fn tell(&mut self, mut batch: Vec<Waiting>, stop: &CancellationToken) {
        let started = Instant::now();
        while !batch.is_empty() {
            let Err(error) = self.publish(&batch).await else {
                return;
            };
            if matches!(
                error.kind(),
                ErrorKind::InvalidArgument | ErrorKind::Internal
            ) {
                // One event that is refused harms no other.
                if batch.len() == 1 {
                    return untold(1, &error);
                }
                for one in batch {
                    Box::pin(self.tell(vec![one], stop)).await;
                }
                return;
            }
            if stop.is_cancelled() {
                self.stopped.get_or_insert_with(Instant::now);
            }
            let over = |since: Option<Instant>| since.is_some_and(|at| at.elapsed() > LAST_WORDS);
            let ends = over(self.stopped);
            if ends || started.elapsed() > GIVE_UP_AFTER {
                let before = batch.len();
                batch.retain(|one| one.is_words && !ends);
                untold(before - batch.len(), &error);
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    async fn publish(&self, batch: &[Waiting]) -> Result<(), Error> {
        let request = pb::PublishTransientRequest {
            event: None,
            events: batch.iter().map(|one| one.event.clone()).collect(),
        };
        let caller = Caller::system("activity-log");
        let told = self
            .registry
            .call(&caller, request, |mut c, r| async move {
                c.publish_transient(r).await
            })
            .await;
        told.map(|_| ())
    }
}

fn untold(events: usize, error: &Error) {
    if events == 0 {
        return;
    }
    tracing::warn!(
        events,
        internal = error.internal_text(),
        "events were not told to who watches: {error}"
    );
    metrics::counter!("candor_events_untold_total")
        .increment(u64::try_from(events).unwrap_or(u64::MAX));
}

/// A token bucket of one second.
struct Pace {
    tokens: f64,
    at: Instant,
}

impl Pace {
    fn full() -> Self {
        Self {
            tokens: MOST_A_SECOND,
            at: Instant::now(),
        }
    }

    fn allows(&mut self) -> bool {
        if self.tokens < 1.0 {
            let now = Instant::now();
            let earned = now.duration_since(self.at).as_secs_f64() * MOST_A_SECOND;
            self.tokens = (self.tokens + earned).min(MOST_A_SECOND);
            self.at = now;
        }
        let allowed = self.tokens >= 1.0;
        if allowed {
            self.tokens -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_pace_is_refused() {
        let mut pace = Pace::full();
        let allowed = (0..4_000).filter(|_| pace.allows()).count();
        assert!((2_500..4_000).contains(&allowed), "{allowed}");
    }
}
