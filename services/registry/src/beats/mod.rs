//! Heartbeats by group commit (design: section 7).
//!
//! Beats that arrive together share one statement. A beat is acknowledged after
//! its decision is committed. Nothing waits on purpose: a batch gathers what is
//! runnable when the last one ends.

mod fold;
mod news;
mod outcome;
mod service;
mod worker;

use std::time::{Duration, Instant};

use candor_events::Bus;
use candor_kernel::lease::LeasePolicy;
use candor_kernel::{Beat, Error, Reason, WorkspaceCaller};
use candor_process::scales::{Scales, Weight};
use candor_process::telemetry::propagation::TraceParent;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use news::News;
pub(crate) use news::{TASK_UPDATED, TasksElsewhere};
pub use outcome::BeatOutcome;
pub use service::{BeatService, without_effect};

/// How long a beat may wait for its commit before it answers 503.
pub const DEADLINE: Duration = Duration::from_secs(2);

/// Beats that may wait; one more answers 503 at once.
const QUEUE: usize = 8192;

/// Bytes of text in beats that wait, about.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// What a beat takes without its texts, about, in bytes.
const EMPTY: usize = 512;

/// A beat on its way into a batch.
pub(crate) struct Job {
    pub caller: WorkspaceCaller,
    pub beat: Beat,
    pub traceparent: Option<TraceParent>,
    pub since: Instant,
    pub attempts: u8,
    pub reply: oneshot::Sender<Result<BeatOutcome, Error>>,
    pub weight: Weight,
}

/// The way into the batches; cheap to clone.
#[derive(Clone, Debug)]
pub struct Beats {
    queue: mpsc::Sender<Job>,
    scales: Scales,
    elsewhere: TasksElsewhere,
}

impl Beats {
    /// Starts the batcher. It ends, with everything queued answered, when
    /// `stop` is cancelled.
    #[must_use]
    pub fn start(
        options: PgConnectOptions,
        policy: LeasePolicy,
        events: std::sync::Arc<Notify>,
        bus: Bus,
        stop: CancellationToken,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let elsewhere = TasksElsewhere::default();
        let news = News::new(bus, elsewhere.clone());
        let worker = worker::Worker::new(options, policy, events, news, jobs);
        let task = tokio::spawn(worker.run(stop));
        let scales = Scales::new(MOST_BYTES);
        let beats = Self {
            queue,
            scales,
            elsewhere,
        };
        (beats, task)
    }

    /// Where tasks are learnt that other registries told of.
    pub(crate) fn tasks_elsewhere(&self) -> TasksElsewhere {
        self.elsewhere.clone()
    }

    /// Decides and stores one beat; returns when that is durable.
    ///
    /// # Errors
    /// `OVERLOADED` at once when too many wait; `STORE_UNAVAILABLE` after two
    /// seconds without a commit; `CREDENTIAL_CHANGED` when the proof in
    /// `caller` was overtaken; field errors for values Postgres cannot hold.
    pub async fn submit(
        &self,
        caller: WorkspaceCaller,
        beat: Beat,
        traceparent: Option<TraceParent>,
    ) -> Result<BeatOutcome, Error> {
        check(&beat)?;
        let weight = self.scales.weigh(size(&beat)).ok_or_else(overloaded)?;
        let (reply, answer) = oneshot::channel();
        let job = Job {
            caller,
            beat,
            traceparent,
            since: Instant::now(),
            attempts: 0,
            reply,
            weight,
        };
        self.queue.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => overloaded(),
            mpsc::error::TrySendError::Closed(_) => {
                Error::new(Reason::Draining, "the registry is shutting down")
                    .with_retry_after(Duration::from_secs(1))
            }
        })?;
        match tokio::time::timeout(DEADLINE, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Error::internal("the beat batcher dropped a beat")),
            Err(_) => {
                metrics::counter!("candor_beats_refused_total", "reason" => "deadline")
                    .increment(1);
                Err(Error::store_unavailable(
                    "no commit within the deadline of a beat",
                ))
            }
        }
    }
}

/// What a beat takes in memory, about, in bytes.
fn size(beat: &Beat) -> usize {
    let texts = [
        beat.sample_error.as_ref(),
        beat.current_task.as_ref(),
        beat.runtime_state.as_ref().map(|state| &state.0),
    ];
    let metadata = beat.runtime_metadata.iter();
    let names = metadata.flat_map(|metadata| metadata.capabilities.keys());
    let bytes = texts.into_iter().flatten().chain(names).map(String::len);
    EMPTY + bytes.sum::<usize>()
}

fn overloaded() -> Error {
    metrics::counter!("candor_beats_refused_total", "reason" => "queue_full").increment(1);
    Error::new(
        Reason::Overloaded,
        "too many heartbeats are waiting — retry shortly",
    )
    .with_retry_after(Duration::from_secs(1))
}

/// Refuses what Postgres cannot hold, before it can spoil a batch.
fn check(beat: &Beat) -> Result<(), Error> {
    if beat.error_rate.is_some_and(|rate| !rate.is_finite()) {
        return Err(Error::field(
            "error_rate",
            "error_rate must be a finite number",
        ));
    }
    let texts = [
        ("sample_error", beat.sample_error.as_deref()),
        ("current_task", beat.current_task.as_deref()),
        (
            "runtime_state",
            beat.runtime_state.as_ref().map(|state| state.0.as_str()),
        ),
    ];
    for (field, text) in texts {
        if text.is_some_and(|text| text.contains('\0')) {
            return Err(Error::field(
                field,
                format!("{field} must not contain NUL characters"),
            ));
        }
    }
    let names = beat
        .runtime_metadata
        .iter()
        .flat_map(|meta| meta.capabilities.keys());
    if names.into_iter().any(|name| name.contains('\0')) {
        return Err(Error::field(
            "runtime_metadata",
            "runtime_metadata must not contain NUL characters",
        ));
    }
    Ok(())
}
