//! Heartbeats over gRPC: one by one, and many on one stream.

use std::sync::Arc;

use candor_identity::call::{MOST_LOOKS, overtaken};
use candor_identity::{BeatStanding, Verifier};
use candor_kernel::{Caller, Error, Reason, WorkspaceCaller, WorkspaceId};
use candor_process::telemetry::propagation::TraceParent;
use candor_proto::registry::v1 as pb;
use futures::StreamExt as _;
use futures::future::OptionFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Call, Reply, checks};
use crate::app::App;
use crate::beats::without_effect;
use crate::wire;

/// Beats of one stream that may wait for their commit; then reading pauses.
const MOST_IN_FLIGHT: usize = 4096;

/// One beat.
pub(super) async fn unary(
    app: Arc<App>,
    call: Call,
    request: pb::HeartbeatRequest,
) -> Result<pb::HeartbeatResponse, Error> {
    let admitted = admit(&call, request, call.traceparent).await?;
    settle(&app, &call, admitted).await
}

/// A beat whose sender is known.
struct Admitted {
    standing: BeatStanding,
    request: pb::HeartbeatRequest,
    traceparent: Option<TraceParent>,
    /// Whose proof is looked at again when it turns out to be out of date.
    proven: Option<WorkspaceId>,
}

async fn admit(
    call: &Call,
    request: pb::HeartbeatRequest,
    traceparent: Option<TraceParent>,
) -> Result<Admitted, Error> {
    let id = wire::workspace_id("workspace_id", &request.workspace_id)?;
    let standing = match &call.inbound {
        Some(inbound) => inbound.standing(id).await?,
        None => BeatStanding::Caller(checks::only_self(&call.caller, id)?.clone()),
    };
    Ok(Admitted {
        standing,
        request,
        traceparent,
        proven: call.inbound.is_some().then_some(id),
    })
}

/// Stores an admitted beat. It is in the batcher's queue after the first poll.
async fn settle(
    app: &App,
    call: &Call,
    admitted: Admitted,
) -> Result<pb::HeartbeatResponse, Error> {
    let Admitted {
        standing,
        request,
        traceparent,
        proven,
    } = admitted;
    let (Some(inbound), Some(id)) = (&call.inbound, proven) else {
        return attempt(app, standing, request, traceparent).await;
    };
    let mut settled = attempt(app, standing, request.clone(), traceparent).await;
    for _ in 1..MOST_LOOKS {
        match &settled {
            // The proof was out of date: what was presented is looked at again. On a
            // stream such a beat may come after later ones.
            Err(error) if error.reason() == Reason::CredentialChanged => {
                inbound.authenticator.forget(&inbound.presented, id);
                let standing = inbound.standing(id).await?;
                settled = attempt(app, standing, request.clone(), traceparent).await;
            }
            _ => return settled,
        }
    }
    settled.map_err(|error| match error.reason() {
        Reason::CredentialChanged => overtaken(),
        _ => error,
    })
}

async fn attempt(
    app: &App,
    standing: BeatStanding,
    request: pb::HeartbeatRequest,
    traceparent: Option<TraceParent>,
) -> Result<pb::HeartbeatResponse, Error> {
    match standing {
        BeatStanding::Caller(caller) => app.beats.beat(caller, request, traceparent).await,
        BeatStanding::Unknown => Ok(without_effect("unknown")),
        BeatStanding::Removed => Ok(without_effect("removed")),
    }
}

/// Many beats: taken in the order they are sent, since a later one may undo what
/// an earlier one says; each is answered by its `id` when it is durable, in any
/// order.
pub(super) fn stream(
    app: Arc<App>,
    request: Request<Streaming<pb::HeartbeatStreamRequest>>,
) -> Result<Response<Reply<pb::HeartbeatStreamResponse>>, Error> {
    let call = Call::of(&request)?;
    let (out, answers) = mpsc::channel(MOST_IN_FLIGHT);
    tokio::spawn(pump(app, call, request.into_inner(), out));
    Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
}

type Out = mpsc::Sender<Result<pb::HeartbeatStreamResponse, Status>>;

async fn pump(
    app: Arc<App>,
    call: Call,
    mut beats: Streaming<pb::HeartbeatStreamRequest>,
    out: Out,
) {
    let call = Arc::new(call);
    let mut waiting = FuturesUnordered::new();
    // One at a time, which keeps the order; nobody else waits for it.
    let mut admitting = OptionFuture::default();
    let (mut open, mut busy) = (true, false);
    while open || busy || !waiting.is_empty() {
        tokio::select! {
            () = app.stop.cancelled(), if open => open = false,
            message = beats.message(), if open && !busy && waiting.len() < MOST_IN_FLIGHT => match message {
                Ok(Some(message)) => {
                    busy = true;
                    let admission = admit_one(Arc::clone(&app), Arc::clone(&call), message);
                    admitting = Some(Box::pin(admission)).into();
                }
                Ok(None) | Err(_) => open = false,
            },
            Some((id, admitted)) = &mut admitting, if busy => {
                busy = false;
                waiting.push(answer(Arc::clone(&app), Arc::clone(&call), id, admitted));
            }
            Some(answer) = waiting.next(), if !waiting.is_empty() => {
                if out.send(Ok(answer)).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn answer(
    app: Arc<App>,
    call: Arc<Call>,
    id: u64,
    admitted: Result<Admitted, Error>,
) -> pb::HeartbeatStreamResponse {
    let settled = match admitted {
        Ok(admitted) => settle(&app, &call, admitted).await,
        Err(error) => Err(error),
    };
    let result = match settled {
        Ok(response) => pb::heartbeat_stream_response::Result::Ok(response),
        Err(error) => pb::heartbeat_stream_response::Result::Error(beat_error(&error)),
    };
    pb::HeartbeatStreamResponse {
        id,
        result: Some(result),
    }
}

async fn admit_one(
    app: Arc<App>,
    call: Arc<Call>,
    message: pb::HeartbeatStreamRequest,
) -> (u64, Result<Admitted, Error>) {
    (message.id, admit_message(&app, &call, message).await)
}

async fn admit_message(
    app: &App,
    call: &Call,
    message: pb::HeartbeatStreamRequest,
) -> Result<Admitted, Error> {
    let request = message
        .beat
        .ok_or_else(|| Error::field("beat", "beat is required"))?;
    let traceparent = message.traceparent.parse().ok();
    if message.identity.is_empty() {
        return admit(call, request, traceparent).await;
    }
    let id = wire::workspace_id("workspace_id", &request.workspace_id)?;
    let caller = asserted(app.verifier.as_deref(), &message.identity, id)?;
    Ok(Admitted {
        standing: BeatStanding::Caller(caller),
        request,
        traceparent,
        proven: None,
    })
}

/// The workspace that a signed assertion names.
fn asserted(
    verifier: Option<&Verifier>,
    identity: &[u8],
    id: WorkspaceId,
) -> Result<WorkspaceCaller, Error> {
    let refused = || {
        Error::new(
            Reason::InvalidCredential,
            "the identity of the beat is not valid",
        )
    };
    let verifier = verifier.ok_or_else(refused)?;
    match verifier.verify(identity, super::AUDIENCE, chrono::Utc::now()) {
        Ok(Caller::Workspace(caller)) if caller.id == id => Ok(caller),
        _ => Err(refused()),
    }
}

fn beat_error(error: &Error) -> pb::BeatError {
    pb::BeatError {
        code: candor_process::grpc::to_status(error).code().into(),
        message: error.public().to_owned(),
        reason: error.reason().code().to_owned(),
        field: error.field_name().map(str::to_owned),
        retry_after: error.retry_after().map(wire::duration),
    }
}
