//! The task that owns the batches: one connection, one batch at a time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use candor_kernel::Error;
use candor_process::dedicated::Dedicated;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Begun, DEADLINE, Job};
use crate::store::intents::{self, Forgotten, NewIntent};

/// Jobs in one batch, at most.
const MOST_IN_BATCH: usize = 512;
/// Bytes of intents in one batch, about.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// Intents to be forgotten that are remembered while Postgres is away.
const MOST_FORGOTTEN: usize = 20_000;
/// How long an intent waits to be forgotten for one that begins.
const FORGET_ALONE: Duration = Duration::from_millis(100);
/// Pause while Postgres is away.
const RETRY_AFTER: Duration = Duration::from_millis(100);

struct Waiting {
    intent: Box<NewIntent>,
    since: Instant,
    reply: oneshot::Sender<Result<Begun, Error>>,
    _weight: candor_process::scales::Weight,
}

pub(super) struct Worker {
    owner: Uuid,
    connection: Dedicated,
    jobs: mpsc::Receiver<Job>,
    begin: Vec<Waiting>,
    forget: Vec<Forgotten>,
}

impl Worker {
    pub(super) fn new(options: PgConnectOptions, owner: Uuid, jobs: mpsc::Receiver<Job>) -> Self {
        Self {
            owner,
            connection: Dedicated::new(options, DEADLINE),
            jobs,
            begin: Vec::new(),
            forget: Vec::new(),
        }
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            if !self.gather(&stop).await {
                return;
            }
            self.fill();
            self.write().await;
        }
    }

    /// Waits until there is something to write; false at the end. Nobody waits for an
    /// intent to be forgotten: that goes with the next one that begins, or alone after
    /// a while.
    async fn gather(&mut self, stop: &CancellationToken) -> bool {
        let alone = tokio::time::sleep(FORGET_ALONE);
        tokio::pin!(alone);
        while self.begin.is_empty() && self.forget.len() < MOST_IN_BATCH {
            let job = tokio::select! {
                biased;
                job = self.jobs.recv() => job,
                () = &mut alone, if !self.forget.is_empty() => return true,
                () = stop.cancelled() => {
                    // What was queued before is still written.
                    self.jobs.close();
                    self.jobs.recv().await
                }
            };
            match job {
                Some(job) => self.take(job),
                None => return !self.forget.is_empty(),
            }
        }
        true
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Begin {
                intent,
                since,
                reply,
                weight,
            } => self.begin.push(Waiting {
                intent,
                since,
                reply,
                _weight: weight,
            }),
            Job::Forget(intents) => self.forget.extend(intents),
        }
    }

    fn fill(&mut self) {
        let bytes = |begin: &[Waiting]| -> usize {
            begin.iter().map(|one| one.intent.activity.len()).sum()
        };
        while self.begin.len() < MOST_IN_BATCH && bytes(&self.begin) < MOST_BYTES {
            match self.jobs.try_recv() {
                Ok(job) => self.take(job),
                Err(_) => return,
            }
        }
    }

    async fn write(&mut self) {
        self.begin.retain(|one| !one.reply.is_closed());
        match self.exchange().await {
            Ok(joined) => {
                metrics::histogram!("candor_relay_batch_size").record(self.begin.len() as f64);
                self.forget.clear();
                for one in self.begin.drain(..) {
                    let begun = match joined.get(&one.intent.id) {
                        Some(entry) => Begun::Waits(*entry),
                        None => Begun::Durable,
                    };
                    // Who gave up meanwhile leaves an intent that is reported as overdue.
                    let _ = one.reply.send(Ok(begun));
                }
            }
            Err(error) => {
                // What is not forgotten is reported again, which changes nothing.
                self.forget.truncate(MOST_FORGOTTEN);
                self.postpone(&error).await;
            }
        }
    }

    async fn exchange(&mut self) -> Result<HashMap<Uuid, Uuid>, Error> {
        let begun: Vec<&NewIntent> = self.begin.iter().map(|one| one.intent.as_ref()).collect();
        let connection = self.connection.get().await?;
        let work = intents::exchange(connection, self.owner, &begun, &self.forget);
        let failure = match tokio::time::timeout(DEADLINE, work).await {
            Ok(Ok(joined)) => {
                return Ok(joined.into_iter().map(|j| (j.intent, j.entry)).collect());
            }
            Ok(Err(error)) => Error::store_unavailable(error),
            Err(_) => Error::store_unavailable("a batch of intents took too long"),
        };
        self.connection.lose();
        Err(failure)
    }

    /// Keeps intents for another try while their deadline allows it; one whose commit
    /// went through unseen is written once all the same.
    async fn postpone(&mut self, error: &Error) {
        tracing::warn!(
            internal = error.internal_text(),
            waiting = self.begin.len(),
            "a batch of intents was not written, it is tried again"
        );
        let (keep, give_up): (Vec<_>, Vec<_>) = self
            .begin
            .drain(..)
            .partition(|one| one.since.elapsed() + RETRY_AFTER * 2 < DEADLINE);
        for one in give_up {
            let _ = one.reply.send(Err(error.clone()));
        }
        self.begin = keep;
        tokio::time::sleep(RETRY_AFTER).await;
    }
}
