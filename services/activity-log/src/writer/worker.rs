//! The task that owns the batches: one connection, one batch at a time.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use candor_kernel::{ActivityId, Error, Reason};
use candor_process::dedicated::Dedicated;
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, info_span, warn};

use super::batch::{self, Done};
use super::{DEADLINE, Job, Write, Written};
use crate::announce::Announcer;
use crate::row::Outcome;
use crate::store::write::{self, Known};

/// Writes in one batch, at most.
const MOST_IN_BATCH: usize = 1024;
/// Bytes in one batch, about.
const MOST_BYTES_IN_BATCH: usize = 4 * 1024 * 1024;
/// Turns given to other tasks so that writes that are about to arrive share the
/// batch; no time is waited.
const GATHER_TURNS: usize = 10;
/// What those turns may take.
const GATHER_FOR: Duration = Duration::from_micros(150);

/// The writer's state.
pub(super) struct Worker {
    connection: Dedicated,
    announcer: Announcer,
    jobs: mpsc::Receiver<Job>,
    again: Vec<Job>,
    recent: usize,
}

/// Why a batch could not be written.
enum Failure {
    /// Postgres is away; nothing is known about the outcome. Writing again is
    /// safe: every write has an id.
    Lost(Error),
    /// Postgres refused a row.
    Refused(sqlx::Error),
}

impl Worker {
    pub(super) fn new(
        options: PgConnectOptions,
        announcer: Announcer,
        jobs: mpsc::Receiver<Job>,
    ) -> Self {
        let options = options
            .options([
                ("plan_cache_mode", "force_generic_plan"),
                ("jit", "off"),
                ("statement_timeout", "5s"),
                ("lock_timeout", "2s"),
                // A process that stands still must not hold the log's end.
                ("idle_in_transaction_session_timeout", "3s"),
            ])
            .application_name("candor-activity-writer")
            .disable_statement_logging();
        Self {
            connection: Dedicated::new(options, DEADLINE),
            announcer,
            jobs,
            again: Vec::new(),
            recent: 0,
        }
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            let mut batch = std::mem::take(&mut self.again);
            if batch.is_empty() {
                tokio::select! {
                    biased;
                    first = self.jobs.recv() => match first {
                        Some(job) => batch.push(job),
                        None => return,
                    },
                    () = stop.cancelled() => {
                        // What is queued is written by the turns of this loop.
                        self.jobs.close();
                        if self.jobs.is_empty() {
                            return;
                        }
                        continue;
                    }
                }
            }
            self.gather(&mut batch).await;
            let span = info_span!("activity.batch", writes = batch.len());
            let started = Instant::now();
            self.commit(batch).instrument(span).await;
            metrics::histogram!("candor_activity_commit_seconds")
                .record(started.elapsed().as_secs_f64());
        }
    }

    async fn gather(&mut self, batch: &mut Vec<Job>) {
        let started = Instant::now();
        for _ in 0..GATHER_TURNS {
            let enough = batch.len() + self.jobs.len() >= self.recent * 7 / 8;
            if enough || started.elapsed() >= GATHER_FOR {
                break;
            }
            tokio::task::yield_now().await;
        }
        let mut bytes: usize = batch.iter().map(|job| job.weight.bytes()).sum();
        while batch.len() < MOST_IN_BATCH && bytes < MOST_BYTES_IN_BATCH {
            let Ok(job) = self.jobs.try_recv() else {
                break;
            };
            bytes += job.weight.bytes();
            batch.push(job);
        }
        self.recent = batch.len();
        metrics::histogram!("candor_activity_batch_size").record(batch.len() as f64);
        metrics::gauge!("candor_activity_queue_depth").set(self.jobs.len() as f64);
    }

    /// Writes a batch; what Postgres refuses is found by halving, and harms no
    /// neighbour.
    async fn commit(&mut self, jobs: Vec<Job>) {
        let (jobs, deferred) = each_once(jobs);
        let mut work = vec![jobs];
        while let Some(jobs) = work.pop() {
            if jobs.is_empty() {
                continue;
            }
            match self.execute(&jobs).await {
                Ok(done) => self.settle(jobs, done).await,
                Err(Failure::Lost(error)) => {
                    let mut jobs = jobs;
                    jobs.iter_mut().for_each(|job| job.was_lost = true);
                    // What stands behind them waits with them: no outcome is
                    // written before its row.
                    jobs.extend(work.drain(..).rev().flatten());
                    self.postpone(jobs, &error).await;
                }
                Err(Failure::Refused(error)) if jobs.len() == 1 => refuse(jobs, &error),
                Err(Failure::Refused(_)) => {
                    let mut jobs = jobs;
                    let tail = jobs.split_off(jobs.len() / 2);
                    work.push(tail);
                    work.push(jobs);
                }
            }
        }
        // Behind the first ones, which may have to wait themselves.
        self.again.extend(deferred);
    }

    async fn execute(&mut self, jobs: &[Job]) -> Result<Done, Failure> {
        let connection = self.connection.get().await.map_err(Failure::Lost)?;
        let failure = match tokio::time::timeout(DEADLINE, batch::execute(connection, jobs)).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) if is_refusal(&error) => return Err(Failure::Refused(error)),
            Ok(Err(error)) => Error::store_unavailable(error),
            Err(_) => Error::store_unavailable("the batch took too long"),
        };
        self.connection.lose();
        Err(Failure::Lost(failure))
    }

    async fn settle(&mut self, jobs: Vec<Job>, mut done: Done) {
        for mut job in jobs {
            let id = job.write.id().as_uuid();
            let known = done.known.get(&id);
            let result = match &job.write {
                Write::Row(row) => {
                    let is_new = done.inserted.contains(&id);
                    let result = match is_new {
                        true => Ok(Written::Stored),
                        false => repeated(known, &row.fingerprint),
                    };
                    // Of a commit whose answer was lost nobody was told yet.
                    if is_new || (result.is_ok() && job.was_lost) {
                        if let Some(told) = batch::told(row) {
                            self.announcer.logged(told);
                        }
                        if let Some(promise) = job.promise.take() {
                            promise.keep();
                        }
                    }
                    result
                }
                Write::Outcome(outcome) => match (done.completed.remove(&id), known) {
                    (Some(told), _) => {
                        if outcome.announce {
                            self.announcer.logged(told);
                        }
                        Ok(Written::Stored)
                    }
                    (None, Some(known)) if known.was_reaped => self.keep_late(outcome).await,
                    (None, known) => {
                        let before = completed_before(known, outcome);
                        if before.is_ok() && job.was_lost && outcome.announce {
                            self.tell_lost(id).await;
                        }
                        before
                    }
                },
            };
            answer(job, result);
        }
    }

    /// Tells of an outcome whose commit went through unseen.
    async fn tell_lost(&mut self, id: uuid::Uuid) {
        let Ok(connection) = self.connection.get().await else {
            return;
        };
        let told = candor_process::pool::within(DEADLINE, write::told(connection, id));
        match told.await {
            Ok(Some(told)) => self.announcer.logged(told),
            Ok(None) => {}
            Err(error) => {
                warn!(%id, %error, "an outcome was not told to who watches");
                self.connection.lose();
            }
        }
    }

    async fn keep_late(&mut self, outcome: &Outcome) -> Result<Written, Error> {
        if outcome.is_queued {
            return Err(conflict("the row is closed: its outcome came too late"));
        }
        let connection = self.connection.get().await?;
        let kept = candor_process::pool::within(DEADLINE, write::keep_late(connection, outcome));
        match kept.await {
            Ok(true) => Ok(Written::Late),
            Ok(false) => Err(conflict("the row has another late outcome")),
            Err(error) => {
                self.connection.lose();
                Err(error)
            }
        }
    }

    /// Keeps writes for another try while their deadline allows it.
    async fn postpone(&mut self, jobs: Vec<Job>, error: &Error) {
        let mut waiting = 0_usize;
        for job in jobs {
            if job.reply.is_closed() {
                continue;
            }
            if job.since.elapsed() + Duration::from_millis(200) >= DEADLINE {
                answer(job, Err(error.clone()));
            } else {
                waiting += 1;
                self.again.push(job);
            }
        }
        if waiting > 0 {
            // Postgres is away: a short pause, bounded by the writes' deadline.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Two rows with one id, or two outcomes of one row, are written one after the
/// other, since a statement takes them in any order: the second ones are for the
/// next batch. Who gave up is not written for.
fn each_once(jobs: Vec<Job>) -> (Vec<Job>, Vec<Job>) {
    let mut rows: HashSet<ActivityId> = HashSet::new();
    let mut outcomes: HashSet<ActivityId> = HashSet::new();
    let (mut kept, mut deferred) = (Vec::with_capacity(jobs.len()), Vec::new());
    for job in jobs {
        if job.reply.is_closed() {
            continue;
        }
        let is_first = match &job.write {
            Write::Row(row) => rows.insert(row.id),
            Write::Outcome(outcome) => outcomes.insert(outcome.id),
        };
        match is_first {
            true => kept.push(job),
            false => deferred.push(job),
        }
    }
    (kept, deferred)
}

/// A row that was not inserted: it is there already, or its workspace is not.
fn repeated(known: Option<&Known>, fingerprint: &[u8]) -> Result<Written, Error> {
    match known {
        None => Err(Error::new(Reason::WorkspaceNotFound, "workspace not found")),
        Some(known) if known.digest.as_deref() == Some(fingerprint) => Ok(Written::Stored),
        Some(_) => Err(conflict("a row with this id exists with other contents")),
    }
}

/// An outcome that changed nothing: the same was told before, or another.
fn completed_before(known: Option<&Known>, outcome: &Outcome) -> Result<Written, Error> {
    let Some(known) = known else {
        return Err(Error::new(
            Reason::ActivityNotFound,
            "no activity row has this id",
        ));
    };
    let before = match outcome.is_queued {
        true => &known.queued_digest,
        false => &known.outcome_digest,
    };
    if before.as_deref() == Some(outcome.fingerprint.as_slice()) {
        return Ok(Written::Stored);
    }
    if known.is_final || outcome.is_queued {
        return Err(conflict("the row has another outcome"));
    }
    Err(Error::new(
        Reason::Contention,
        "the row changes right now — retry shortly",
    ))
}

fn conflict(text: &'static str) -> Error {
    Error::new(Reason::ActivityConflict, text)
}

fn refuse(jobs: Vec<Job>, error: &sqlx::Error) {
    for job in jobs {
        warn!(id = %job.write.id(), %error, "Postgres refused an activity row");
        metrics::counter!("candor_activity_refused_total", "reason" => "poison").increment(1);
        answer(
            job,
            Err(Error::internal("the datastore refused this activity row")),
        );
    }
}

fn answer(job: Job, result: Result<Written, Error>) {
    let outcome = match &result {
        Ok(Written::Stored) => "stored",
        Ok(Written::Late) => "late",
        Err(_) => "error",
    };
    metrics::counter!("candor_activity_writes_total", "outcome" => outcome).increment(1);
    // A caller that gave up has its answer already.
    let _ = job.reply.send(result);
}

/// Postgres' word against a row: a value, a constraint, a limit, a trigger
/// (SQLSTATE classes 22, 23, 54 and P0). Anything else says something about
/// Postgres, and the batch is tried again on another connection.
fn is_refusal(error: &sqlx::Error) -> bool {
    let Some(database) = error.as_database_error() else {
        return false;
    };
    let code = database.code().unwrap_or_default();
    ["22", "23", "54", "P0"]
        .iter()
        .any(|class| code.starts_with(class))
}
