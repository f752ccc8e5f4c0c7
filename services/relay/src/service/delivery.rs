//! Deliver.

use std::sync::Arc;
use std::time::Duration;

use candor_identity::{Call, Who};
use candor_kernel::{Error, Reason};
use candor_proto::relay::v1 as pb;
use futures::{Stream, StreamExt as _};
use std::pin::Pin;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::Instrument as _;

use crate::app::App;
use crate::deliver::{self, Out};
use crate::door::{self, Binding};

type Parts = Pin<Box<dyn Stream<Item = Result<pb::DeliverResponse, Status>> + Send>>;

/// Begins a call; its parts come as the agent gives them.
pub(super) async fn deliver(
    app: Arc<App>,
    call: Call,
    request: pb::DeliverRequest,
) -> Result<Parts, Error> {
    let parts = begin(app, call, request, Binding::JsonRpc).await?;
    Ok(ReceiverStream::new(parts).boxed())
}

/// The same for who answers by another binding. The call has a task of its own, since
/// it does not end with its caller.
///
/// # Errors
/// The refusals; `DRAINING`, `OVERLOADED`.
pub(super) async fn begin(
    app: Arc<App>,
    call: Call,
    request: pb::DeliverRequest,
    binding: Binding,
) -> Result<deliver::Parts, Error> {
    let id = super::workspace(&request.workspace_id)?;
    let caller = call.principal(Who::A2a, id).await?;
    let call = Call {
        caller,
        inbound: None,
        traceparent: call.traceparent,
    };
    if app.tasks.is_closed() {
        return Err(Error::new(Reason::Draining, "the relay is shutting down")
            .with_retry_after(Duration::from_secs(1)));
    }
    let place = Arc::clone(&app.places).try_acquire_owned().map_err(|_| {
        Error::new(
            Reason::Overloaded,
            "too many calls at a time — retry shortly",
        )
        .with_retry_after(Duration::from_secs(1))
    })?;
    let (out, parts) = Out::channel();
    let tasks = app.tasks.clone();
    let work = async move {
        match request.door() {
            pb::Door::A2a => door::serve(app, call, request, binding, out).await,
            pb::Door::Unspecified => deliver::serve(app, call, request, out).await,
        }
        drop(place);
    };
    tasks.spawn(work.in_current_span());
    Ok(parts)
}
