//! The gRPC service: identity in, one call of the application, errors out.

mod checks;
mod forward;
mod list;
mod notify;
mod search;
mod stream;
mod write;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use candor_identity::Call;
use candor_identity::call::answer;
use candor_kernel::Error;
use candor_proto::activity::v1 as pb;
use candor_proto::activity::v1::activity_log_service_server::ActivityLogService;
use futures::Stream;
use tonic::{Request, Response, Status, Streaming};

use crate::activity_log::App;

/// The service; cheap to clone.
#[derive(Clone)]
pub struct ActivityGrpc {
    app: Arc<App>,
}

impl ActivityGrpc {
    pub(crate) const fn new(app: Arc<App>) -> Self {
        Self { app }
    }

    async fn run<Req, Res, F>(
        &self,
        request: Request<Req>,
        handler: impl FnOnce(Arc<App>, Call, Req) -> F,
    ) -> Result<Response<Res>, Status>
    where
        F: Future<Output = Result<Res, Error>>,
    {
        answer(request, |call, message| {
            handler(Arc::clone(&self.app), call, message)
        })
        .await
    }
}

macro_rules! unary {
    ($($method:ident: $request:ident -> $response:ident = $handler:path;)*) => {
        #[tonic::async_trait]
        impl ActivityLogService for ActivityGrpc {
            $(
                async fn $method(
                    &self,
                    request: Request<pb::$request>,
                ) -> Result<Response<pb::$response>, Status> {
                    self.run(request, $handler).await
                }
            )*

            type RecordStreamStream =
                Pin<Box<dyn Stream<Item = Result<pb::RecordStreamResponse, Status>> + Send>>;
            async fn record_stream(
                &self,
                request: Request<Streaming<pb::RecordStreamRequest>>,
            ) -> Result<Response<Self::RecordStreamStream>, Status> {
                self.run(request, stream::record).await
            }
        }
    };
}

unary! {
    begin: BeginRequest -> BeginResponse = write::begin;
    complete: CompleteRequest -> CompleteResponse = write::complete;
    record: RecordRequest -> RecordResponse = write::record;
    forward: ForwardRequest -> ForwardResponse = forward::forward;
    list: ListRequest -> ListResponse = list::list;
    search_session: SearchSessionRequest -> SearchSessionResponse = search::search;
    notify: NotifyRequest -> NotifyResponse = notify::notify;
}
