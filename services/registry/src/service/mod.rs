//! The gRPC service: identity in, one call of the application, errors out.

mod beats;
mod budget;
mod canvas;
mod checks;
mod create;
mod discovery;
mod events;
mod explain;
mod family;
mod instance_token;
mod lifecycle;
mod observation;
mod page;
mod placement;
mod registration;
mod removal;
mod target;
mod tokens;
mod workspaces;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use candor_identity::Call;
use candor_identity::call::answer;
use candor_kernel::Error;
use candor_process::grpc::to_status;
use candor_proto::registry::v1 as pb;
use candor_proto::registry::v1::registry_service_server::RegistryService;
use futures::Stream;
use tonic::{Request, Response, Status, Streaming};

use crate::app::App;

/// Whom assertions for this service are made out to.
pub const AUDIENCE: &str = "candor.registry.v1.RegistryService";

/// A response stream.
pub type Reply<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The service; cheap to clone.
#[derive(Clone)]
pub struct RegistryGrpc {
    app: Arc<App>,
}

impl RegistryGrpc {
    /// Serves an application.
    #[must_use]
    pub const fn new(app: Arc<App>) -> Self {
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
        impl RegistryService for RegistryGrpc {
            $(
                async fn $method(
                    &self,
                    request: Request<pb::$request>,
                ) -> Result<Response<pb::$response>, Status> {
                    self.run(request, $handler).await
                }
            )*

            type HeartbeatStreamStream = Reply<pb::HeartbeatStreamResponse>;
            async fn heartbeat_stream(
                &self,
                request: Request<Streaming<pb::HeartbeatStreamRequest>>,
            ) -> Result<Response<Self::HeartbeatStreamStream>, Status> {
                beats::stream(Arc::clone(&self.app), request).map_err(|error| to_status(&error))
            }

            type WatchEventsStream = Reply<pb::Event>;
            async fn watch_events(
                &self,
                request: Request<pb::WatchEventsRequest>,
            ) -> Result<Response<Self::WatchEventsStream>, Status> {
                self.run(request, events::watch).await
            }
        }
    };
}

unary! {
    register: RegisterRequest -> RegisterResponse = registration::register;
    heartbeat: HeartbeatRequest -> HeartbeatResponse = beats::unary;
    update_agent_card: UpdateAgentCardRequest -> UpdateAgentCardResponse = registration::update_card;
    discover: DiscoverRequest -> DiscoverResponse = discovery::discover;
    list_peers: ListPeersRequest -> ListPeersResponse = discovery::peers;
    check_access: CheckAccessRequest -> CheckAccessResponse = discovery::check_access;
    create_workspace: CreateWorkspaceRequest -> CreateWorkspaceResponse = create::create;
    get_workspace: GetWorkspaceRequest -> Workspace = workspaces::get;
    list_workspaces: ListWorkspacesRequest -> ListWorkspacesResponse = workspaces::list;
    update_workspace: UpdateWorkspaceRequest -> UpdateWorkspaceResponse = workspaces::update;
    delete_workspace: DeleteWorkspaceRequest -> DeleteWorkspaceResponse = removal::delete;
    get_state: GetStateRequest -> GetStateResponse = workspaces::state;
    explain_status: ExplainStatusRequest -> ExplainStatusResponse = explain::explain;
    list_events: ListEventsRequest -> ListEventsResponse = events::list;
    get_event_cursor: GetEventCursorRequest -> GetEventCursorResponse = events::cursor;
    append_events: AppendEventsRequest -> AppendEventsResponse = events::append;
    publish_transient: PublishTransientRequest -> PublishTransientResponse = events::publish;
    move_workspace: MoveWorkspaceRequest -> MoveWorkspaceResponse = lifecycle::step;
    issue_instance_token: IssueInstanceTokenRequest -> IssueInstanceTokenResponse = instance_token::issue;
    withdraw_instance_token: WithdrawInstanceTokenRequest -> WithdrawInstanceTokenResponse = instance_token::withdraw;
    resolve_target: ResolveTargetRequest -> Target = target::resolve;
    sign_for_agent: SignForAgentRequest -> SignForAgentResponse = tokens::sign_for_agent;
    resolve_targets: ResolveTargetsRequest -> ResolveTargetsResponse = target::resolve_all;
    report_observation: ReportObservationRequest -> ReportObservationResponse = observation::report;
    note_outbound: NoteOutboundRequest -> NoteOutboundResponse = target::note_outbound;
    issue_token: IssueTokenRequest -> IssueTokenResponse = tokens::issue;
    announce_backends: AnnounceBackendsRequest -> AnnounceBackendsResponse = placement::announce;
    list_placements: ListPlacementsRequest -> ListPlacementsResponse = placement::list;
    take_placement: TakePlacementRequest -> TakePlacementResponse = placement::take;
    get_blueprint: GetBlueprintRequest -> Blueprint = placement::blueprint;
    list_provisioned: ListProvisionedRequest -> ListProvisionedResponse = placement::provisioned;
    set_instance_url: SetInstanceUrlRequest -> SetInstanceUrlResponse = placement::set_url;
    get_family: GetFamilyRequest -> GetFamilyResponse = family::get;
    report_rejected_beats: ReportRejectedBeatsRequest -> ReportRejectedBeatsResponse = tokens::report_rejected;
    get_liveness: GetLivenessRequest -> GetLivenessResponse = explain::liveness;
    verify_token: VerifyTokenRequest -> VerifyTokenResponse = tokens::verify;
    list_tokens: ListTokensRequest -> ListTokensResponse = tokens::list;
    revoke_token: RevokeTokenRequest -> RevokeTokenResponse = tokens::revoke;
    get_budget: GetBudgetRequest -> Budget = budget::get;
    update_budget: UpdateBudgetRequest -> Budget = budget::update;
    get_viewport: GetViewportRequest -> Viewport = canvas::get;
    set_viewport: SetViewportRequest -> SetViewportResponse = canvas::set;
}
