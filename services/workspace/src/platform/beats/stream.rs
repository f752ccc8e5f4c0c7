//! Beats on one bidirectional stream of the registry (design section 7).

use std::time::Duration;

use bytes::Bytes;
use candor_process::config::Secret;
use candor_process::telemetry::propagation::TraceParent;
use candor_proto::registry::v1 as pb;
use pb::registry_service_client::RegistryServiceClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use url::Url;

use super::{BeatAnswer, BeatError, DEADLINE};
use crate::platform::Platform;
use crate::vitals::Report;

/// Longest wait for a connection and for the stream to open.
const OPEN: Duration = Duration::from_secs(5);

/// Why a beat did not go on the stream.
#[derive(Debug)]
pub(super) enum StreamError {
    /// There is no stream: another way may do.
    NotThere(String),
    /// The platform answered, and did not take the beat.
    Refused(BeatError),
}

/// The stream, opened when it is needed.
#[derive(Debug)]
pub(super) struct BeatStream {
    address: Url,
    platform: Platform,
    open: Option<Open>,
    /// What the stream was opened with, also if it was refused for that.
    proof: Option<Secret>,
    next_id: u64,
}

#[derive(Debug)]
struct Open {
    beats: mpsc::Sender<pb::HeartbeatStreamRequest>,
    answers: Streaming<pb::HeartbeatStreamResponse>,
}

impl BeatStream {
    pub(super) fn new(address: Url, platform: Platform) -> Self {
        Self {
            address,
            platform,
            open: None,
            proof: None,
            next_id: 1,
        }
    }

    /// The token that the last beat was proved with: the stream's own.
    pub(super) fn proof(&self) -> Option<Secret> {
        self.proof.clone()
    }

    /// Sends one beat and waits for its answer. A stream that failed is opened anew
    /// for the next beat.
    pub(super) async fn send(&mut self, report: &Report) -> Result<BeatAnswer, StreamError> {
        let outcome = tokio::time::timeout(DEADLINE, self.exchange(report)).await;
        let outcome = outcome.unwrap_or_else(|_| {
            let why = format!("no answer on the stream within {DEADLINE:?}");
            Err(StreamError::NotThere(why))
        });
        if outcome.is_err() {
            // What was refused may be the stream's own credential.
            self.open = None;
        }
        outcome
    }

    async fn exchange(&mut self, report: &Report) -> Result<BeatAnswer, StreamError> {
        let id = self.next_id;
        self.next_id += 1;
        let workspace = self.platform.workspace().to_string();
        let beat = pb::HeartbeatStreamRequest {
            id,
            beat: Some(report.to_message(&workspace)),
            identity: Bytes::new(),
            traceparent: TraceParent::current().map_or_else(String::new, |t| t.to_string()),
        };
        let open = match self.open.take() {
            Some(open) => self.open.insert(open),
            None => {
                self.proof = self.platform.tokens().token();
                let opened = open_stream(&self.address, &self.platform).await?;
                self.open.insert(opened)
            }
        };
        if open.beats.send(beat).await.is_err() {
            return Err(StreamError::NotThere("the stream is closed".into()));
        }
        loop {
            let answer = open.answers.message().await.map_err(of_status)?;
            let Some(answer) = answer else {
                return Err(StreamError::NotThere("the stream ended".into()));
            };
            if answer.id == id {
                return of_result(answer.result);
            }
        }
    }
}

async fn open_stream(address: &Url, platform: &Platform) -> Result<Open, StreamError> {
    let not_there = |error: tonic::transport::Error| StreamError::NotThere(error.to_string());
    let endpoint = Endpoint::from_shared(address.to_string()).map_err(not_there)?;
    let channel: Channel = endpoint
        .connect_timeout(OPEN)
        .connect()
        .await
        .map_err(not_there)?;
    let (beats, queue) = mpsc::channel(1);
    let mut request = Request::new(ReceiverStream::new(queue));
    *request.metadata_mut() = MetadataMap::from_headers(platform.headers());
    let mut registry = RegistryServiceClient::new(channel);
    let answers = tokio::time::timeout(OPEN, registry.heartbeat_stream(request))
        .await
        .map_err(|_| StreamError::NotThere(format!("not open within {OPEN:?}")))?
        .map_err(of_status)?
        .into_inner();
    Ok(Open { beats, answers })
}

#[allow(clippy::needless_pass_by_value)]
fn of_status(status: Status) -> StreamError {
    let words = status.message().to_owned();
    match status.code() {
        Code::Unauthenticated => StreamError::Refused(BeatError::Unauthorized(words)),
        Code::PermissionDenied | Code::InvalidArgument => {
            StreamError::Refused(BeatError::Failed(words))
        }
        code => StreamError::NotThere(format!("{code:?}: {words}")),
    }
}

fn of_result(
    result: Option<pb::heartbeat_stream_response::Result>,
) -> Result<BeatAnswer, StreamError> {
    use pb::heartbeat_stream_response::Result as Answer;
    match result {
        Some(Answer::Ok(ok)) => Ok(BeatAnswer {
            workspace: ok.workspace,
            next: ok.next_heartbeat_after.and_then(|d| d.try_into().ok()),
            epoch: ok.epoch,
            superseded: ok.superseded,
        }),
        Some(Answer::Error(error)) if error.code == Code::Unauthenticated as i32 => {
            Err(StreamError::Refused(BeatError::Unauthorized(error.message)))
        }
        Some(Answer::Error(error)) => Err(StreamError::Refused(BeatError::Failed(error.message))),
        None => Err(StreamError::NotThere("an answer without a result".into())),
    }
}
