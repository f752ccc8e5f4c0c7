//! Group commit of rows and outcomes (design: section 8).
//!
//! What arrives together shares one transaction. A write is acknowledged after
//! its commit. Nothing waits on purpose: a batch gathers what is there when the
//! last one ends.

mod batch;
mod worker;

use std::time::{Duration, Instant};

use candor_kernel::{ActivityId, Error, Reason};
use candor_process::scales::{Scales, Weight};
use futures::future;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::announce::{Announcer, Promise};
use crate::row::{NewRow, Outcome};

/// How long a write may wait for its commit before it answers 503.
pub const DEADLINE: Duration = Duration::from_secs(2);

/// Writes that may wait; one more answers 503 at once.
const QUEUE: usize = 8192;
/// Bytes of writes that may wait, about.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// What is written.
#[derive(Debug)]
pub(crate) enum Write {
    /// A new row.
    Row(Box<NewRow>),
    /// What became of one.
    Outcome(Box<Outcome>),
}

impl Write {
    fn id(&self) -> ActivityId {
        match self {
            Self::Row(row) => row.id,
            Self::Outcome(outcome) => outcome.id,
        }
    }
    fn size(&self) -> usize {
        match self {
            Self::Row(row) => row.size(),
            Self::Outcome(outcome) => outcome.size(),
        }
    }
}

/// How a write that is durable went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It is in the log; a repeated write is there as well.
    Stored,
    /// The row was closed before: the outcome is kept beside it.
    Late,
}

/// What a write comes to.
type Answer = oneshot::Receiver<Result<Written, Error>>;

/// A write on its way into a batch.
pub(crate) struct Job {
    pub write: Write,
    pub since: Instant,
    pub reply: oneshot::Sender<Result<Written, Error>>,
    pub weight: Weight,
    /// A commit of it may have gone through unseen.
    pub was_lost: bool,
    /// Words to a person, told when the row is durable, whoever waits for it then.
    pub promise: Option<Promise>,
}

/// The way into the batches; cheap to clone.
#[derive(Clone, Debug)]
pub struct Writer {
    queue: mpsc::Sender<Job>,
    scales: Scales,
}

impl Writer {
    /// Starts the task that writes. It ends, with everything queued answered,
    /// when `stop` is cancelled.
    #[must_use]
    pub fn start(
        options: PgConnectOptions,
        announcer: Announcer,
        stop: CancellationToken,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let worker = worker::Worker::new(options, announcer, jobs);
        let task = tokio::spawn(worker.run(stop));
        let scales = Scales::new(MOST_BYTES);
        (Self { queue, scales }, task)
    }

    /// Writes a row; returns when it is durable.
    ///
    /// # Errors
    /// `OVERLOADED` at once when too many wait; `STORE_UNAVAILABLE` after two
    /// seconds without a commit; `WORKSPACE_NOT_FOUND`; `ACTIVITY_CONFLICT`.
    pub async fn insert(&self, row: NewRow) -> Result<Written, Error> {
        self.submit(Write::Row(Box::new(row)), None).await
    }

    /// Writes words to a person, and tells them when they are durable.
    ///
    /// # Errors
    /// As [`Writer::insert`].
    pub async fn say(&self, row: NewRow, promise: Promise) -> Result<Written, Error> {
        self.submit(Write::Row(Box::new(row)), Some(promise)).await
    }

    /// Completes a row; returns when that is durable.
    ///
    /// # Errors
    /// As [`Writer::insert`]; `ACTIVITY_NOT_FOUND`.
    pub async fn complete(&self, outcome: Outcome) -> Result<Written, Error> {
        self.submit(Write::Outcome(Box::new(outcome)), None).await
    }

    /// Writes of one caller in their order: a row is there before its outcome, and
    /// two outcomes of a row come one after the other. What there is no room for
    /// takes everything behind it along. Errors pass through, each to its place.
    pub(crate) async fn in_order(
        &self,
        writes: Vec<Result<Write, Error>>,
    ) -> Vec<Result<Written, Error>> {
        // One time for all: none is given up while another one behind it is not.
        let since = Instant::now();
        let mut no_room: Option<Error> = None;
        let mut pending = Vec::with_capacity(writes.len());
        for write in writes {
            pending.push(match (write, &no_room) {
                (Err(error), _) => Err(error),
                (Ok(_), Some(error)) => Err(error.clone()),
                (Ok(write), None) => self
                    .enqueue(write, None, since)
                    .inspect_err(|error| no_room = Some(error.clone())),
            });
        }
        let answers = pending
            .into_iter()
            .map(|one| async { answered(one?).await });
        future::join_all(answers).await
    }

    async fn submit(&self, write: Write, promise: Option<Promise>) -> Result<Written, Error> {
        answered(self.enqueue(write, promise, Instant::now())?).await
    }

    fn enqueue(
        &self,
        write: Write,
        promise: Option<Promise>,
        since: Instant,
    ) -> Result<Answer, Error> {
        let weight = self.scales.weigh(write.size()).ok_or_else(overloaded)?;
        let (reply, answer) = oneshot::channel();
        let job = Job {
            write,
            since,
            reply,
            weight,
            was_lost: false,
            promise,
        };
        self.queue.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => overloaded(),
            mpsc::error::TrySendError::Closed(_) => {
                Error::new(Reason::Draining, "the activity log is shutting down")
                    .with_retry_after(Duration::from_secs(1))
            }
        })?;
        Ok(answer)
    }
}

async fn answered(answer: Answer) -> Result<Written, Error> {
    match tokio::time::timeout(DEADLINE, answer).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Error::internal("the writer dropped a row")),
        Err(_) => Err(Error::store_unavailable(
            "no commit within the deadline of a row",
        )),
    }
}

fn overloaded() -> Error {
    metrics::counter!("candor_activity_refused_total", "reason" => "queue_full").increment(1);
    Error::new(
        Reason::Overloaded,
        "too many activity rows are waiting — retry shortly",
    )
    .with_retry_after(Duration::from_secs(1))
}
