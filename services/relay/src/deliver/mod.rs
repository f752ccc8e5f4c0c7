//! One call: who may, what it meets, its intent, its dial, its answer (design:
//! section 9; contract/a2a.md, "pipeline").

pub mod attempt;
pub mod clock;
pub mod direct;
mod end;
pub mod reply;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use candor_identity::Call;
use candor_kernel::{Caller, Error, Reason, WorkspaceId};
use candor_peers::time;
use candor_process::grpc::to_status;
use candor_proto::relay::v1 as pb;
use tokio::sync::mpsc;
use tonic::Status;

use crate::app::App;
use crate::door::Strict;
use crate::envelope::Envelope;
use crate::target::{Admission, Target};
use attempt::Head;
pub(crate) use direct::row;

/// Parts of an answer that may wait for the caller.
const PARTS: usize = 4;
/// The largest request (deviation D4).
pub(crate) const MOST_REQUEST: usize = 1024 * 1024;
/// Longest wait for a caller to take a part of a stream.
const TAKEN_WITHIN: Duration = Duration::from_secs(60);

/// What a caller gets.
#[derive(Debug)]
pub(crate) enum Reply {
    /// An answer that is all there.
    Whole(Head, Bytes),
    /// It was sent part by part.
    Sent,
    /// The message is delivered later.
    Accepted(pb::Accepted),
}

impl Reply {
    /// The value of the label `outcome`.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Whole(head, _) if head.confirms() => "answered",
            Self::Whole(..) => "agent_error",
            Self::Sent => "streamed",
            Self::Accepted(_) => "accepted",
        }
    }
}

/// Counts a call by how it ended.
pub(crate) fn count(outcome: &'static str) {
    metrics::counter!("candor_relay_calls_total", "outcome" => outcome).increment(1);
}

/// Parts of an answer on their way to the caller.
pub(crate) type Parts = mpsc::Receiver<Result<pb::DeliverResponse, Status>>;

/// The caller's end of a call.
#[derive(Debug, Clone)]
pub(crate) struct Out {
    parts: mpsc::Sender<Result<pb::DeliverResponse, Status>>,
    begun: Arc<AtomicBool>,
}

impl Out {
    pub(crate) fn channel() -> (Self, Parts) {
        let (sender, parts) = mpsc::channel(PARTS);
        let out = Self {
            parts: sender,
            begun: Arc::default(),
        };
        (out, parts)
    }

    /// Whether the head of an answer was sent.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Sends a part; false if the caller is gone, or takes nothing.
    async fn part(&self, part: pb::deliver_response::Part) -> bool {
        let part = pb::DeliverResponse { part: Some(part) };
        self.parts
            .send_timeout(Ok(part), TAKEN_WITHIN)
            .await
            .is_ok()
    }

    pub(crate) async fn head(&self, head: &Head) -> bool {
        self.begun.store(true, Ordering::Relaxed);
        self.part(pb::deliver_response::Part::Head(pb::AnswerHead {
            status: i32::from(head.status.as_u16()),
            content_type: head.content_type.clone(),
            retry_after: head.retry_after.clone().unwrap_or_default(),
            a2a_extensions: head.a2a_extensions.clone().unwrap_or_default(),
        }))
        .await
    }

    pub(crate) async fn data(&self, data: Bytes) -> bool {
        self.part(pb::deliver_response::Part::Data(data)).await
    }

    pub(crate) async fn fail(&self, error: &Error) {
        self.status(to_status(error)).await;
    }

    pub(crate) async fn status(&self, status: Status) {
        // Who is gone hears nothing.
        let _ = self.parts.send_timeout(Err(status), TAKEN_WITHIN).await;
    }

    async fn closed(&self) {
        self.parts.closed().await;
    }
}

/// A message and all that is known about it before it is sent.
pub(crate) struct Message {
    pub caller: Caller,
    pub target: Target,
    pub envelope: Envelope,
    /// At the A2A door: how it is said and answered.
    pub strict: Option<Strict>,
    pub limit: Option<Duration>,
    pub a2a_version: String,
    pub a2a_extensions: String,
    pub traceparent: String,
}

/// Serves a call to its end, whether or not its caller stays.
pub(crate) async fn serve(app: Arc<App>, call: Call, request: pb::DeliverRequest, out: Out) {
    let outcome = deliver(&app, call, request, &out).await;
    count(match &outcome {
        Ok(reply) => reply.label(),
        Err(error) => error.reason().code(),
    });
    match outcome {
        Ok(Reply::Whole(head, body)) => {
            if out.head(&head).await && !body.is_empty() {
                out.data(body).await;
            }
        }
        Ok(Reply::Accepted(accepted)) => {
            out.part(pb::deliver_response::Part::Accepted(accepted))
                .await;
        }
        Ok(Reply::Sent) => {}
        Err(error) => out.fail(&error).await,
    }
}

async fn deliver(
    app: &App,
    call: Call,
    request: pb::DeliverRequest,
    out: &Out,
) -> Result<Reply, Error> {
    let (target, admission) = admitted(app, &call.caller, &request.workspace_id).await?;
    if let Admission::Refuse(error) = admission {
        return Err(error);
    }
    if request.body.len() > MOST_REQUEST {
        // Deviation D4; the gateway says it sooner.
        return Err(Error::field("body", "request body too large"));
    }
    let envelope = Envelope::complete(&request.body)?;
    let message = message(call, &request, target, envelope, None);
    match admission {
        Admission::Dial => direct::send(app, message, out).await,
        Admission::Poll => crate::ledger::accept_polled(app, message)
            .await
            .map(Reply::Accepted),
        Admission::Refuse(error) => Err(error),
    }
}

/// Who may send to whom, and what that meets: everything before the message is read,
/// in the order of the contract.
pub(crate) async fn admitted(
    app: &App,
    caller: &Caller,
    workspace_id: &str,
) -> Result<(Target, Admission), Error> {
    if caller.workspace().is_some_and(|caller| caller.stale) {
        return Err(Error::new(
            Reason::InvalidCredential,
            "this instance was replaced: it may not send messages",
        ));
    }
    let id: WorkspaceId = workspace_id
        .parse()
        .map_err(|_| Error::field("workspace_id", "invalid workspace ID"))?;
    let other = caller
        .workspace()
        .map(|caller| caller.id)
        .filter(|c| *c != id);
    let target = Target::resolve(&app.resolver, id, other).await?;
    target.may_be_sent(caller)?;
    app.wakes.notice(&target);
    let admission = target.admit();
    Ok((target, admission))
}

/// A message whose request was read.
pub(crate) fn message(
    call: Call,
    request: &pb::DeliverRequest,
    target: Target,
    envelope: Envelope,
    strict: Option<Strict>,
) -> Message {
    Message {
        caller: call.caller,
        target,
        envelope,
        limit: request
            .timeout
            .and_then(time::span)
            .filter(|limit| !limit.is_zero()),
        a2a_version: match &strict {
            Some(strict) => strict.agent_version().to_owned(),
            None => request.a2a_version.clone(),
        },
        strict,
        a2a_extensions: request.a2a_extensions.clone(),
        traceparent: call
            .traceparent
            .map_or_else(String::new, |parent| parent.to_string()),
    }
}
