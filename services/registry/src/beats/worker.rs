//! The task that owns the batches: one connection, one batch at a time.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use candor_kernel::lease::LeasePolicy;
use candor_kernel::{Error, Reason, WorkspaceId};
use candor_process::dedicated::Dedicated;
use candor_process::telemetry::propagation;
use chrono::Utc;
use metrics::Counter;
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, info_span, warn};

use super::fold::{Arrival, Folded, fold};
use super::news::News;
use super::{BeatOutcome, DEADLINE, Job};
use crate::store::beats::{VitalsRow, Written, write_changes, write_steady};
use crate::store::state::{self, Loaded};

/// Beats in one batch, at most.
const MOST_IN_BATCH: usize = 1024;
/// Bytes of text in one batch, about.
const MOST_BYTES_IN_BATCH: usize = 4 * 1024 * 1024;
/// Calls a batch's span is linked to, at most.
const MOST_LINKS: usize = 128;
/// Workspaces whose state is remembered; beyond it everything is read again.
const MOST_REMEMBERED: usize = 200_000;
/// Times a decision is made again because somebody else was faster.
const MOST_ATTEMPTS: u8 = 5;
/// Turns given to other tasks so that beats that are about to arrive share the
/// batch; no time is waited.
const GATHER_TURNS: usize = 10;
/// What those turns may take. With more, the callers of one batch march in step:
/// Postgres idles while they are read and they idle while it commits, which
/// cost a third of the beats of a standalone at 64 connections.
const GATHER_FOR: Duration = Duration::from_micros(150);

/// The batcher's state.
pub(super) struct Worker {
    connection: Dedicated,
    policy: LeasePolicy,
    events: Arc<Notify>,
    news: News,
    jobs: mpsc::Receiver<Job>,
    again: Vec<Job>,
    remembered: HashMap<WorkspaceId, Loaded>,
    recent: usize,
}

/// The beats of one workspace in a batch.
struct Group {
    id: WorkspaceId,
    jobs: Vec<Job>,
}

/// What there is to say about ids that have no state.
#[derive(Default)]
struct Unread {
    purged: HashSet<uuid::Uuid>,
    broken: HashMap<WorkspaceId, Error>,
}

impl Unread {
    fn result(&self, id: WorkspaceId) -> Result<BeatOutcome, Error> {
        match self.broken.get(&id) {
            Some(error) => Err(error.clone()),
            None if self.purged.contains(&id.as_uuid()) => Ok(BeatOutcome::Removed),
            None => Ok(BeatOutcome::Unknown),
        }
    }
}

/// Why a batch could not be written.
enum Failure {
    /// Postgres is away; nothing is known about the outcome.
    Lost(Error),
    /// Postgres refused a row.
    Refused(sqlx::Error),
}

impl Worker {
    pub(super) fn new(
        options: PgConnectOptions,
        policy: LeasePolicy,
        events: Arc<Notify>,
        news: News,
        jobs: mpsc::Receiver<Job>,
    ) -> Self {
        // The plan never depends on the values; planning costs more than running.
        let options = options
            .options([
                ("plan_cache_mode", "force_generic_plan"),
                ("jit", "off"),
                // Rows come sorted by id, and a nested loop locks them in that
                // order, which no hash of them would.
                ("enable_hashjoin", "off"),
                ("enable_mergejoin", "off"),
                ("enable_seqscan", "off"),
                // A row that somebody holds is not waited for: its neighbours
                // would wait as well, once for each halving that finds it (ten
                // in the largest batch), and have two seconds.
                ("lock_timeout", "50ms"),
            ])
            .application_name("candor-beats")
            .disable_statement_logging();
        Self {
            connection: Dedicated::new(options, DEADLINE),
            policy,
            events,
            news,
            jobs,
            again: Vec::new(),
            remembered: HashMap::new(),
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
                        // Whoever asks from now on hears that we drain; the
                        // queue is emptied by the turns of this loop.
                        self.jobs.close();
                        if self.jobs.is_empty() {
                            return;
                        }
                        continue;
                    }
                }
            }
            self.gather(&mut batch).await;
            self.commit(batch).await;
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
            match self.jobs.try_recv() {
                Ok(job) => {
                    bytes += job.weight.bytes();
                    batch.push(job);
                }
                Err(_) => break,
            }
        }
        self.recent = batch.len();
        metrics::histogram!("candor_beat_batch_size").record(batch.len() as f64);
        metrics::gauge!("candor_beat_queue_depth").set(self.jobs.len() as f64);
    }

    async fn commit(&mut self, batch: Vec<Job>) {
        let span = info_span!("beats.batch", beats = batch.len());
        for job in batch.iter().take(MOST_LINKS) {
            if let Some(traceparent) = &job.traceparent {
                propagation::link(&span, traceparent);
            }
        }
        let started = Instant::now();
        self.commit_in_span(batch).instrument(span).await;
        metrics::histogram!("candor_beat_commit_seconds").record(started.elapsed().as_secs_f64());
    }

    async fn commit_in_span(&mut self, batch: Vec<Job>) {
        let groups = group(batch);
        let unread = match self.remember(&groups).await {
            Ok(missing) => missing,
            Err(error) => {
                return self
                    .postpone(groups.into_iter().flat_map(|g| g.jobs), &error)
                    .await;
            }
        };
        let mut rows = Vec::with_capacity(groups.len());
        let mut pending = Vec::with_capacity(groups.len());
        let now = Utc::now();
        for group in groups {
            let Some(loaded) = self.remembered.get(&group.id) else {
                let result = unread.result(group.id);
                for job in group.jobs {
                    answer(job, result.clone());
                }
                continue;
            };
            let jobs = current_proofs(group.jobs);
            let arrivals: Vec<_> = jobs
                .iter()
                .map(|job| Arrival {
                    caller: &job.caller,
                    beat: &job.beat,
                    traceparent: job.traceparent,
                })
                .collect();
            match fold(loaded, &arrivals, now) {
                Ok(mut folded) => match folded.row.take() {
                    Some(row) => {
                        rows.push(row);
                        pending.push((jobs, folded));
                    }
                    None => settle(jobs, folded.answers),
                },
                Err(error) => jobs
                    .into_iter()
                    .for_each(|job| answer(job, Err(error.clone()))),
            }
        }
        if !rows.is_empty() {
            self.write(rows, pending).await;
        }
    }

    /// Reads the states that are not remembered, in one statement. Returns what
    /// there is to say about ids without one.
    async fn remember(&mut self, groups: &[Group]) -> Result<Unread, Error> {
        let unknown: Vec<_> = groups
            .iter()
            .filter(|group| !self.remembered.contains_key(&group.id))
            .map(|group| group.id.as_uuid())
            .collect();
        if unknown.is_empty() {
            return Ok(Unread::default());
        }
        if self.remembered.len() + unknown.len() > MOST_REMEMBERED {
            self.remembered.clear();
        }
        let wanted: Vec<_> = groups.iter().map(|group| group.id.as_uuid()).collect();
        let wanted = if self.remembered.is_empty() {
            wanted
        } else {
            unknown
        };
        let connection = self.connection.get().await?;
        let read = async {
            let found = state::load_each(connection, &wanted).await?;
            let gone = if found.len() < wanted.len() {
                state::tombstones(connection, &wanted).await?
            } else {
                Vec::new()
            };
            Ok::<_, Error>((found, gone))
        };
        match tokio::time::timeout(DEADLINE, read).await {
            Ok(Ok((found, gone))) => {
                let mut unread = Unread {
                    purged: gone.into_iter().collect(),
                    broken: HashMap::new(),
                };
                for (id, loaded) in found {
                    match loaded {
                        Ok(loaded) => {
                            self.remembered.insert(id, loaded);
                        }
                        Err(error) => {
                            warn!(workspace_id = %id, internal = error.internal_text(), "a workspace's row cannot be read");
                            unread.broken.insert(id, error);
                        }
                    }
                }
                Ok(unread)
            }
            Ok(Err(error)) => {
                self.connection.lose();
                Err(error)
            }
            Err(_) => {
                self.connection.lose();
                Err(Error::store_unavailable("reading states took too long"))
            }
        }
    }

    /// Writes rows; a row that Postgres refuses is found by halving, and harms
    /// no neighbour.
    async fn write(&mut self, rows: Vec<VitalsRow>, pending: Vec<(Vec<Job>, Folded)>) {
        let mut work = vec![(rows, pending)];
        while let Some((rows, pending)) = work.pop() {
            match self.execute(&rows).await {
                Ok(written) => self.settle_written(rows, pending, written),
                Err(Failure::Lost(error)) => {
                    for row in &rows {
                        self.remembered.remove(&row.id);
                    }
                    let jobs = pending.into_iter().flat_map(|(jobs, _)| jobs);
                    self.postpone(jobs, &error).await;
                }
                Err(Failure::Refused(error)) if rows.len() == 1 && is_locked(&error) => {
                    for row in &rows {
                        self.remembered.remove(&row.id);
                    }
                    let jobs = pending.into_iter().flat_map(|(jobs, _)| jobs);
                    self.postpone(jobs, &contention()).await;
                }
                Err(Failure::Refused(error)) if rows.len() == 1 => {
                    let id = rows[0].id;
                    warn!(workspace_id = %id, %error, "Postgres refused a beat");
                    metrics::counter!("candor_beats_refused_total", "reason" => "poison")
                        .increment(1);
                    self.remembered.remove(&id);
                    for job in pending.into_iter().flat_map(|(jobs, _)| jobs) {
                        answer(
                            job,
                            Err(Error::internal("the datastore refused this heartbeat")),
                        );
                    }
                }
                Err(Failure::Refused(_)) => {
                    let (mut rows, mut pending) = (rows, pending);
                    let half = rows.len() / 2;
                    let tail = (rows.split_off(half), pending.split_off(half));
                    work.push(tail);
                    work.push((rows, pending));
                }
            }
        }
    }

    async fn execute(&mut self, rows: &[VitalsRow]) -> Result<Written, Failure> {
        let lease = self.policy.ttl.as_secs_f64();
        let changes = rows.iter().any(|row| row.change.is_some());
        let connection = self.connection.get().await.map_err(Failure::Lost)?;
        let write = async {
            if changes {
                write_changes(connection, rows, lease).await
            } else {
                write_steady(connection, rows, lease).await
            }
        };
        match tokio::time::timeout(DEADLINE, write).await {
            Ok(Ok(written)) => {
                if changes {
                    self.events.notify_one();
                }
                Ok(written)
            }
            Ok(Err(error))
                if error
                    .as_database_error()
                    .is_some_and(|e| !is_passing(e.code().as_deref())) =>
            {
                Err(Failure::Refused(error))
            }
            Ok(Err(error)) => {
                self.connection.lose();
                Err(Failure::Lost(Error::store_unavailable(error)))
            }
            Err(_) => {
                self.connection.lose();
                Err(Failure::Lost(Error::store_unavailable(
                    "the batch took too long",
                )))
            }
        }
    }

    fn settle_written(
        &mut self,
        rows: Vec<VitalsRow>,
        pending: Vec<(Vec<Job>, Folded)>,
        written: Written,
    ) {
        let done: Option<HashSet<i64>> = written.map(|ords| ords.into_iter().collect());
        for ((row, (jobs, folded)), ord) in rows.into_iter().zip(pending).zip(1_i64..) {
            if done.as_ref().is_some_and(|done| !done.contains(&ord)) {
                self.conflicted(row.id, &row, jobs);
                continue;
            }
            if let Some(loaded) = self.remembered.get_mut(&row.id) {
                self.news.tell(loaded, &row, &folded.state);
                loaded.state = folded.state;
                if row.change.is_some() {
                    loaded.state_version = loaded.state_version.next();
                }
            }
            settle(jobs, folded.answers);
        }
    }

    /// Somebody changed the status or the credentials since they were read:
    /// read again, decide again.
    fn conflicted(&mut self, id: WorkspaceId, row: &VitalsRow, jobs: Vec<Job>) {
        metrics::counter!("candor_beat_conflicts_total").increment(1);
        let read_at = self
            .remembered
            .remove(&id)
            .map(|loaded| loaded.auth_version);
        for mut job in jobs {
            job.attempts += 1;
            if job.attempts >= MOST_ATTEMPTS {
                answer(job, Err(contention()));
            } else if job.attempts > 1 && read_at.is_some_and(|read| read != row.auth_version) {
                // Read again just now, and the proof is still another version's.
                answer(job, Err(credential_changed()));
            } else {
                self.again.push(job);
            }
        }
    }

    /// Keeps beats for another try while their deadline allows it.
    async fn postpone(&mut self, jobs: impl Iterator<Item = Job>, error: &Error) {
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
            // Postgres is away: a short pause, bounded by the beats' deadline.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Groups beats by workspace, in id order, keeping the order of arrival.
fn group(batch: Vec<Job>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::with_capacity(batch.len());
    let mut at: HashMap<WorkspaceId, usize> = HashMap::with_capacity(batch.len());
    for job in batch {
        if job.reply.is_closed() {
            continue;
        }
        let id = job.caller.id;
        let position = *at.entry(id).or_insert_with(|| {
            groups.push(Group {
                id,
                jobs: Vec::with_capacity(1),
            });
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(position) {
            group.jobs.push(job);
        }
    }
    groups.sort_unstable_by_key(|group| group.id);
    groups
}

/// Keeps the beats whose proof is the newest of their workspace; the others
/// must be authenticated again.
fn current_proofs(jobs: Vec<Job>) -> Vec<Job> {
    let Some(newest) = jobs.iter().map(|job| job.caller.auth_version).max() else {
        return jobs;
    };
    let (current, old): (Vec<_>, Vec<_>) = jobs
        .into_iter()
        .partition(|job| job.caller.auth_version == newest);
    old.into_iter()
        .for_each(|job| answer(job, Err(credential_changed())));
    current
}

fn settle(jobs: Vec<Job>, answers: Vec<Result<BeatOutcome, Error>>) {
    for (job, result) in jobs.into_iter().zip(answers) {
        answer(job, result);
    }
}

fn answer(job: Job, result: Result<BeatOutcome, Error>) {
    let counters = &*COUNTERS;
    match &result {
        Ok(BeatOutcome::Applied { .. }) => &counters.applied,
        Ok(BeatOutcome::Superseded { .. }) => &counters.superseded,
        Ok(BeatOutcome::Unknown) => &counters.unknown,
        Ok(BeatOutcome::Removed) => &counters.removed,
        Err(_) => &counters.error,
    }
    .increment(1);
    // A caller that gave up has its answer already.
    let _ = job.reply.send(result);
}

/// Beats by outcome; made once, since every beat counts.
struct Counters {
    applied: Counter,
    superseded: Counter,
    unknown: Counter,
    removed: Counter,
    error: Counter,
}

static COUNTERS: LazyLock<Counters> = LazyLock::new(|| {
    let counter = |outcome| metrics::counter!("candor_beats_total", "outcome" => outcome);
    Counters {
        applied: counter("applied"),
        superseded: counter("superseded"),
        unknown: counter("unknown"),
        removed: counter("removed"),
        error: counter("error"),
    }
});

fn contention() -> Error {
    Error::new(
        Reason::Contention,
        "the workspace changes too often right now — retry shortly",
    )
    .with_retry_after(Duration::from_secs(1))
}

fn credential_changed() -> Error {
    Error::new(Reason::CredentialChanged, "invalid workspace auth token")
}

/// Somebody holds the row (SQLSTATE 55P03).
fn is_locked(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.code().as_deref() == Some("55P03"))
}

/// Deadlocks, serialisation failures and shutdowns pass: the batch is tried
/// again (SQLSTATE classes 40, 53, 57 and 08).
fn is_passing(code: Option<&str>) -> bool {
    code.is_some_and(|code| {
        ["40", "53", "57", "08"]
            .iter()
            .any(|class| code.starts_with(class))
    })
}
