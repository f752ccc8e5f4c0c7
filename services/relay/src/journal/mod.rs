//! Group commit of intents (design: sections 8 and 9): an agent is dialled after
//! its intent is durable (promise P4).
//!
//! What arrives together shares one statement and one commit. An intent never waits on
//! purpose; to be forgotten it waits for the next one that begins.

mod worker;

use std::time::{Duration, Instant};

use candor_kernel::{Error, Reason};
use candor_process::scales::{Scales, Weight};
use sqlx::postgres::PgConnectOptions;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::store::intents::{Forgotten, NewIntent};

/// How long an intent may wait for its commit before its call answers 503.
pub const DEADLINE: Duration = Duration::from_secs(2);
/// Intents that may wait; one more answers 503 at once.
const QUEUE: usize = 4096;
/// Bytes of intents that may wait, about.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// What became of an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// It is durable: the agent may be dialled.
    Durable,
    /// The same message waits in the ledger already, as this entry.
    Waits(Uuid),
}

pub(crate) enum Job {
    Begin {
        intent: Box<NewIntent>,
        since: Instant,
        reply: oneshot::Sender<Result<Begun, Error>>,
        weight: Weight,
    },
    Forget(Vec<Forgotten>),
}

/// The way into the batches; cheap to clone.
#[derive(Clone, Debug)]
pub struct Journal {
    queue: mpsc::Sender<Job>,
    scales: Scales,
}

impl Journal {
    /// Starts the task that writes. It ends, with everything queued answered, when
    /// `stop` is cancelled.
    #[must_use]
    pub fn start(
        options: PgConnectOptions,
        owner: Uuid,
        stop: CancellationToken,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let task = tokio::spawn(worker::Worker::new(options, owner, jobs).run(stop));
        let scales = Scales::new(MOST_BYTES);
        (Self { queue, scales }, task)
    }

    /// Returns when the intent is durable.
    ///
    /// # Errors
    /// `OVERLOADED` at once when too many wait; `STORE_UNAVAILABLE` after two
    /// seconds without a commit.
    pub async fn begin(&self, intent: NewIntent) -> Result<Begun, Error> {
        let size = intent.activity.len() + 512;
        let weight = self.scales.weigh(size).ok_or_else(overloaded)?;
        let (reply, answer) = oneshot::channel();
        let job = Job::Begin {
            intent: Box::new(intent),
            since: Instant::now(),
            reply,
            weight,
        };
        self.queue.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => overloaded(),
            mpsc::error::TrySendError::Closed(_) => draining(),
        })?;
        match tokio::time::timeout(DEADLINE, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(draining()),
            Err(_) => Err(Error::store_unavailable(
                "no commit within the deadline of an intent",
            )),
        }
    }

    /// Forgets intents whose outcomes other services know, and counts their tokens.
    /// One that cannot be queued is reported again, which changes nothing.
    pub async fn forget(&self, intents: Vec<Forgotten>) {
        if self.queue.send(Job::Forget(intents)).await.is_err() {
            tracing::debug!("intents are left to be forgotten by the next relay");
        }
    }
}

fn draining() -> Error {
    Error::new(Reason::Draining, "the relay is shutting down")
        .with_retry_after(Duration::from_secs(1))
}

fn overloaded() -> Error {
    Error::new(
        Reason::Overloaded,
        "too many messages are waiting — retry shortly",
    )
    .with_retry_after(Duration::from_secs(1))
}
