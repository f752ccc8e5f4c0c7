//! How a beat gets to the platform: on the gRPC stream where one is offered, else as
//! the legacy HTTP call.

mod stream;

use std::time::Duration;

use candor_process::config::Secret;
use serde::Deserialize;
use tokio::time::Instant;

use self::stream::{BeatStream, StreamError};
use super::{Call, CallError, Platform};
use crate::vitals::Report;

/// Longest wait for the answer to a beat.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long a stream that is not there is left alone.
const STREAM_AGAIN: Duration = Duration::from_secs(60);

/// What the platform answered to a beat.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BeatAnswer {
    /// `unknown` or `removed`: the beat had no effect.
    pub workspace: Option<String>,
    /// When the next one is wanted.
    pub next: Option<Duration>,
    /// The instance that this process is to the platform.
    pub epoch: i64,
    /// Another instance has taken the workspace over.
    pub superseded: bool,
}

/// Why a beat was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BeatError {
    /// The platform refused the token.
    #[error("the platform refused the token: {0}")]
    Unauthorized(String),
    /// Everything else.
    #[error("{0}")]
    Failed(String),
}

/// The way that beats take.
#[derive(Debug)]
pub struct Carrier {
    platform: Platform,
    stream: Option<BeatStream>,
    /// When the stream is tried again, while it is not there.
    stream_from: Option<Instant>,
    /// What the last beat was proved with.
    proof: Option<Secret>,
}

#[derive(Default, Deserialize)]
struct Answered {
    #[serde(default)]
    workspace: Option<String>,
    #[serde(default)]
    next_heartbeat_after: Option<f64>,
    #[serde(default)]
    epoch: i64,
    #[serde(default)]
    superseded: bool,
}

impl Carrier {
    /// By `grpc` where it is given, an `http://host:port`.
    #[must_use]
    pub fn new(platform: Platform, grpc: Option<&url::Url>) -> Self {
        let stream = grpc.map(|url| BeatStream::new(url.clone(), platform.clone()));
        Self {
            platform,
            stream,
            stream_from: None,
            proof: None,
        }
    }

    /// Sends one beat and reads the answer.
    ///
    /// # Errors
    /// [`BeatError`].
    pub async fn send(&mut self, report: &Report) -> Result<BeatAnswer, BeatError> {
        let is_due = self.stream_from.is_none_or(|from| Instant::now() >= from);
        let Some(stream) = self.stream.as_mut().filter(|_| is_due) else {
            return self.post(report).await;
        };
        let sent = stream.send(report).await;
        self.proof = stream.proof();
        match sent {
            Ok(answer) => {
                self.stream_from = None;
                Ok(answer)
            }
            Err(StreamError::Refused(error)) => Err(error),
            Err(StreamError::NotThere(why)) => {
                tracing::warn!(%why, "no gRPC stream for beats; they go over HTTP meanwhile");
                self.stream_from = Some(Instant::now() + STREAM_AGAIN);
                self.post(report).await
            }
        }
    }

    /// The token that the last beat was proved with, whatever was learnt since.
    #[must_use]
    pub fn proof(&self) -> Option<&Secret> {
        self.proof.as_ref()
    }

    async fn post(&mut self, report: &Report) -> Result<BeatAnswer, BeatError> {
        self.proof = self.platform.tokens().token();
        let body = report.to_json(&self.platform.workspace().to_string());
        let call = Call::post("/registry/heartbeat", body).within(DEADLINE);
        let reply = self.platform.send_once(&call).await.map_err(failed)?;
        let answered: Answered = match reply.expect_success() {
            // A platform that answers 200 took the beat, whatever else it says.
            Ok(reply) => reply.read().unwrap_or_default(),
            Err(error) if error.is_unauthorized() => {
                return Err(BeatError::Unauthorized(error.to_string()));
            }
            Err(error) => return Err(failed(error)),
        };
        Ok(BeatAnswer {
            workspace: answered.workspace,
            next: answered
                .next_heartbeat_after
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            epoch: answered.epoch,
            superseded: answered.superseded,
        })
    }
}

#[allow(clippy::needless_pass_by_value)]
fn failed(error: CallError) -> BeatError {
    BeatError::Failed(error.to_string())
}
