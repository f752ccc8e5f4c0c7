//! Beats on their way to group commit: in this process, or on one stream.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use candor_identity::Signer;
use candor_kernel::{Caller, Error, Reason, WorkspaceCaller};
use candor_peers::{Peer, RegistryClient, no_answer};
use candor_process::telemetry::propagation::TraceParent;
use candor_proto::registry::v1 as pb;
use chrono::Utc;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// Beats that may wait for an answer; one more answers 503 at once.
const MOST_IN_FLIGHT: usize = 4096;
/// How long a beat may wait; the registry's own deadline of 2 s ends before it.
const DEADLINE: Duration = Duration::from_millis(2_300);
/// Longest wait for the stream to open.
const OPEN: Duration = Duration::from_secs(2);
/// Pause after the stream was lost, so that a registry that is away is not
/// asked for every beat.
const REOPEN_AFTER: Duration = Duration::from_millis(100);

/// Takes beats of authenticated workspaces.
#[async_trait]
pub trait BeatSink: Send + Sync + 'static {
    /// Returns when the beat is durable.
    ///
    /// # Errors
    /// `OVERLOADED`, `STORE_UNAVAILABLE`, `PEER_UNAVAILABLE`; with
    /// `CREDENTIAL_CHANGED` the caller must be authenticated again.
    async fn beat(
        &self,
        caller: WorkspaceCaller,
        beat: pb::HeartbeatRequest,
        traceparent: Option<TraceParent>,
    ) -> Result<pb::HeartbeatResponse, Error>;
}

type Reply = oneshot::Sender<Result<pb::HeartbeatResponse, Error>>;

/// A beat that waits to be sent.
struct Outgoing {
    caller: WorkspaceCaller,
    beat: pb::HeartbeatRequest,
    traceparent: Option<TraceParent>,
    reply: Reply,
}

/// One bidirectional stream to a registry in another process.
#[derive(Debug)]
pub struct RemoteBeats {
    queue: mpsc::Sender<Outgoing>,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outgoing({})", self.caller.id)
    }
}

impl RemoteBeats {
    /// Starts the task that owns the stream; it ends when the handle is dropped,
    /// after the last request.
    #[must_use]
    pub fn start(client: RegistryClient, signer: Arc<Signer>) -> Self {
        let (queue, jobs) = mpsc::channel(MOST_IN_FLIGHT);
        let link = Link {
            client,
            signer,
            jobs,
        };
        tokio::spawn(link.run());
        Self { queue }
    }
}

#[async_trait]
impl BeatSink for RemoteBeats {
    async fn beat(
        &self,
        caller: WorkspaceCaller,
        beat: pb::HeartbeatRequest,
        traceparent: Option<TraceParent>,
    ) -> Result<pb::HeartbeatResponse, Error> {
        let (reply, answer) = oneshot::channel();
        let outgoing = Outgoing {
            caller,
            beat,
            traceparent,
            reply,
        };
        if self.queue.try_send(outgoing).is_err() {
            metrics::counter!("candor_beats_refused_total", "reason" => "queue_full").increment(1);
            return Err(Error::new(
                Reason::Overloaded,
                "too many heartbeats are waiting — retry shortly",
            )
            .with_retry_after(Duration::from_secs(1)));
        }
        match tokio::time::timeout(DEADLINE, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(no_answer("the stream to the registry was lost")),
            Err(_) => Err(no_answer("no answer on the stream within the deadline")),
        }
    }
}

/// The task's state.
struct Link {
    client: RegistryClient,
    signer: Arc<Signer>,
    jobs: mpsc::Receiver<Outgoing>,
}

/// Why a stream is left.
enum Left {
    /// It broke; open another for the next beat.
    Broken,
    /// The process ends.
    Done,
}

impl Link {
    async fn run(mut self) {
        loop {
            // Opened by the first beat, so that a gateway can start first.
            let Some(first) = self.jobs.recv().await else {
                return;
            };
            match self.open().await {
                Ok((out, answers)) => {
                    if let Left::Done = self.pump(first, out, answers).await {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(
                        internal = error.internal_text(),
                        "the stream to the registry does not open"
                    );
                    fail(first, &error);
                    while let Ok(job) = self.jobs.try_recv() {
                        fail(job, &error);
                    }
                }
            }
            tokio::time::sleep(REOPEN_AFTER).await;
        }
    }

    async fn open(
        &self,
    ) -> Result<
        (
            mpsc::Sender<pb::HeartbeatStreamRequest>,
            Streaming<pb::HeartbeatStreamResponse>,
        ),
        Error,
    > {
        // Room for every beat that may be in flight: sending never waits.
        let (out, messages) = mpsc::channel(MOST_IN_FLIGHT);
        let gateway = Caller::system("gateway");
        let opened = self.client.call(
            &gateway,
            ReceiverStream::new(messages),
            |mut client, request| async move { client.heartbeat_stream(request).await },
        );
        match tokio::time::timeout(OPEN, opened).await {
            Ok(Ok(answers)) => Ok((out, answers)),
            Ok(Err(error)) => Err(no_answer(error.internal_text().unwrap_or(error.public()))),
            Err(_) => Err(no_answer("the stream did not open in time")),
        }
    }

    async fn pump(
        &mut self,
        first: Outgoing,
        out: mpsc::Sender<pb::HeartbeatStreamRequest>,
        mut answers: Streaming<pb::HeartbeatStreamResponse>,
    ) -> Left {
        let mut waiting: HashMap<u64, Reply> = HashMap::new();
        let mut last_id = 0_u64;
        let mut next = Some(first);
        loop {
            if let Some(job) = next.take() {
                last_id += 1;
                if job.reply.is_closed() {
                    continue;
                }
                let (message, reply) = self.message(last_id, job);
                if out.try_send(message).is_err() {
                    // `reply` is dropped with the others: their callers hear it.
                    return Left::Broken;
                }
                waiting.insert(last_id, reply);
                // Whoever gave up left its place.
                if waiting.len() >= MOST_IN_FLIGHT {
                    waiting.retain(|_, reply| !reply.is_closed());
                }
            }
            tokio::select! {
                answer = answers.message() => match answer {
                    Ok(Some(answer)) => settle(&mut waiting, answer),
                    Ok(None) | Err(_) => return Left::Broken,
                },
                job = self.jobs.recv(), if waiting.len() < MOST_IN_FLIGHT => match job {
                    Some(job) => next = Some(job),
                    None => return Left::Done,
                },
            }
        }
    }

    fn message(&self, id: u64, job: Outgoing) -> (pb::HeartbeatStreamRequest, Reply) {
        let caller = Caller::Workspace(job.caller);
        let identity = self
            .signer
            .sign(&caller, Peer::Registry.audience(), Utc::now());
        let message = pb::HeartbeatStreamRequest {
            id,
            beat: Some(job.beat),
            identity: identity.into(),
            traceparent: job
                .traceparent
                .map(|parent| parent.to_string())
                .unwrap_or_default(),
        };
        (message, job.reply)
    }
}

fn settle(waiting: &mut HashMap<u64, Reply>, answer: pb::HeartbeatStreamResponse) {
    let Some(reply) = waiting.remove(&answer.id) else {
        return;
    };
    let result = match answer.result {
        Some(pb::heartbeat_stream_response::Result::Ok(response)) => Ok(response),
        Some(pb::heartbeat_stream_response::Result::Error(error)) => Err(error_of(error)),
        None => Err(Error::internal("an answer without a result")),
    };
    // A caller that gave up has its answer already.
    let _ = reply.send(result);
}

fn fail(job: Outgoing, error: &Error) {
    let _ = job.reply.send(Err(error.clone()));
}

fn error_of(error: pb::BeatError) -> Error {
    let reason = Reason::from_code(&error.reason).unwrap_or(Reason::Internal);
    let mut told = match error.field {
        Some(field) if reason == Reason::InvalidField => Error::field(field, error.message),
        _ => Error::new(reason, error.message),
    };
    if let Some(after) = error.retry_after.and_then(|after| after.try_into().ok()) {
        told = told.with_retry_after(after);
    }
    told
}
