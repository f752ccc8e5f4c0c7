//! The gRPC service: identity in, one call of the application, errors out.

mod a2a;
mod cards;
mod delegate;
mod delivery;
mod health;
mod queue;
mod transcript;
mod usage;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub use a2a::A2aGrpc;
use candor_identity::Call;
use candor_identity::call::{answer, answer_within};
use candor_kernel::{Error, WorkspaceId};
use candor_proto::relay::v1 as pb;
use candor_proto::relay::v1::relay_service_server::RelayService;
use futures::Stream;
use tonic::{Request, Response, Status};

use crate::app::App;

/// The service; cheap to clone.
#[derive(Clone)]
pub struct RelayGrpc {
    app: Arc<App>,
}

impl RelayGrpc {
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

/// A workspace's id out of a request.
fn workspace(id: &str) -> Result<WorkspaceId, Error> {
    id.parse()
        .map_err(|_| Error::field("workspace_id", "invalid workspace ID"))
}

macro_rules! unary {
    ($($method:ident: $request:ident -> $response:ident = $handler:path;)*) => {
        #[tonic::async_trait]
        impl RelayService for RelayGrpc {
            $(
                async fn $method(
                    &self,
                    request: Request<pb::$request>,
                ) -> Result<Response<pb::$response>, Status> {
                    self.run(request, $handler).await
                }
            )*

            async fn get_transcript(
                &self,
                request: Request<pb::GetTranscriptRequest>,
            ) -> Result<Response<pb::GetTranscriptResponse>, Status> {
                answer_within(transcript::LONGEST, request, |call, message| {
                    transcript::get(Arc::clone(&self.app), call, message)
                })
                .await
            }

            type DeliverStream =
                Pin<Box<dyn Stream<Item = Result<pb::DeliverResponse, Status>> + Send>>;
            async fn deliver(
                &self,
                request: Request<pb::DeliverRequest>,
            ) -> Result<Response<Self::DeliverStream>, Status> {
                self.run(request, delivery::deliver).await
            }
        }
    };
}

unary! {
    list_queue: ListQueueRequest -> ListQueueResponse = queue::list;
    get_queue_entry: GetQueueEntryRequest -> QueueEntry = queue::get;
    drop_queue_entry: DropQueueEntryRequest -> QueueEntry = queue::drop_entry;
    retry_queue_entry: RetryQueueEntryRequest -> QueueEntry = queue::retry;
    drop_stale: DropStaleRequest -> DropStaleResponse = queue::drop_stale;
    acknowledge_polled: AcknowledgePolledRequest -> AcknowledgePolledResponse =
        queue::acknowledge_polled;
    delegate: DelegateRequest -> DelegateResponse = delegate::delegate;
    list_delegations: ListDelegationsRequest -> ListDelegationsResponse = delegate::list;
    record_delegation: RecordDelegationRequest -> RecordDelegationResponse = delegate::record;
    update_delegation: UpdateDelegationRequest -> UpdateDelegationResponse = delegate::update;
    get_usage: GetUsageRequest -> Usage = usage::get;
    get_agent_card: GetAgentCardRequest -> AgentCard = cards::card;
    get_observation: GetObservationRequest -> Observation = health::get;
    set_observation: SetObservationRequest -> Observation = health::set;
}
