//! The A2A door: the protocol to the letter, for callers and agents of either
//! version (`docs/adr/0010-a2a-door.md`).
//!
//! The way of a message is that of every other one ([`crate::deliver`]); here its
//! request is read, its answer told in the caller's version, and its failure in the
//! protocol's words. Nothing is queued at this door.

mod fault;
mod request;
mod sse;
mod told;

use std::sync::Arc;

use candor_a2a::jsonrpc::Id;
use candor_identity::Call;
use candor_kernel::{Error, Reason};
use candor_proto::relay::v1 as pb;

use crate::app::App;
use crate::deliver::{Out, Reply, admitted, count, direct, message};
use crate::envelope::Envelope;
use crate::target::Admission;
use fault::Fault;
use request::Asked;
pub(crate) use request::Strict;
pub(crate) use sse::Sse;

/// How the caller of this door is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binding {
    /// Bodies, and events, of JSON-RPC; errors too.
    JsonRpc,
    /// The same, but errors are statuses.
    Grpc,
}

/// Serves a call to its end, whether or not its caller stays.
pub(crate) async fn serve(
    app: Arc<App>,
    call: Call,
    request: pb::DeliverRequest,
    binding: Binding,
    out: Out,
) {
    let (id, outcome) = answer(&app, call, &request, binding, &out).await;
    count(match &outcome {
        Ok(reply) => reply.label(),
        Err(fault) => fault.label(),
    });
    match outcome {
        Ok(Reply::Whole(head, body)) => {
            if out.head(&head).await {
                out.data(body).await;
            }
        }
        Ok(Reply::Sent) => {}
        Ok(Reply::Accepted(_)) => fault::tell(&out, binding, &id, queued().into()).await,
        Err(fault) => fault::tell(&out, binding, &id, fault).await,
    }
}

async fn answer(
    app: &App,
    call: Call,
    request: &pb::DeliverRequest,
    binding: Binding,
    out: &Out,
) -> (Id<'static>, Result<Reply, Fault>) {
    let asked = match Asked::read(&request.body, &request.a2a_version) {
        Ok(asked) => asked,
        Err(refused) => return (refused.id.into_owned(), Err(refused.error.into())),
    };
    let id = asked.id.clone().into_owned();
    (id, carry(app, call, request, asked, binding, out).await)
}

async fn carry(
    app: &App,
    call: Call,
    request: &pb::DeliverRequest,
    asked: Asked<'_>,
    binding: Binding,
    out: &Out,
) -> Result<Reply, Fault> {
    let (target, admission) = admitted(app, &call.caller, &request.workspace_id).await?;
    match admission {
        Admission::Dial => {}
        Admission::Poll => return Err(no_address().into()),
        Admission::Refuse(error) => return Err(error.into()),
    }
    let reader = asked.reader(app, request)?;
    let strict = Strict::new(asked, &request.body, &target.agent_card, binding, reader)?;
    let envelope = Envelope::as_sent(&request.body)?;
    let message = message(call, request, target, envelope, Some(strict));
    let (target, strict) = (message.target.clone(), message.strict.clone());
    let reply = direct::send(app, message, out).await?;
    match (reply, strict) {
        (Reply::Whole(head, body), Some(strict)) => {
            let body = strict.answer(&target, &head, body)?;
            Ok(Reply::Whole(head.of_json_rpc(), body))
        }
        (reply, _) => Ok(reply),
    }
}

/// A workspace that fetches its messages is sent none.
fn no_address() -> Error {
    let text = "workspace has no URL: it fetches its messages by itself";
    Error::new(Reason::NoUrl, text)
}

/// The same message came by the other door before, and waits there.
fn queued() -> Error {
    let text = "this message is accepted already, and waits to be delivered";
    Error::new(Reason::AgentBusy, text)
}
