//! The gRPC service: identity in, one call of the application, errors out.

mod beats;
mod budget;
mod canvas;
mod checks;
mod create;
mod discovery;
mod events;
mod explain;
mod page;
mod registration;
mod removal;
mod tokens;
mod workspaces;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use candor_identity::{Inbound, Who};
use candor_kernel::{Caller, Error, Reason, WorkspaceCaller, WorkspaceId};
use candor_process::grpc::to_status;
use candor_process::telemetry::propagation::TraceParent;
use candor_proto::registry::v1 as pb;
use candor_proto::registry::v1::registry_service_server::RegistryService;
use futures::Stream;
use tonic::{Request, Response, Status, Streaming};

use crate::app::App;

/// Whom assertions for this service are made out to.
pub const AUDIENCE: &str = "candor.registry.v1.RegistryService";

/// Longest work on one call; a stream's begins with its answer (promise P9).
const DEADLINE: Duration = Duration::from_secs(2);

/// A response stream.
pub type Reply<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What the identity layer and the tracing layer learnt about a call.
#[derive(Clone)]
pub struct Call {
    /// Who calls.
    pub caller: Caller,
    /// What a direct caller presented, so that a proof can be checked again.
    pub inbound: Option<Inbound>,
    /// W3C traceparent of the call, if it is traced.
    pub traceparent: Option<TraceParent>,
}

impl Call {
    /// The workspace that speaks for itself: as Candor's other process
    /// authenticated it, or as what was presented proves for `id`.
    ///
    /// # Errors
    /// `MISSING_CREDENTIAL`, `INVALID_CREDENTIAL` and the other refusals.
    async fn agent(&self, who: Who, id: WorkspaceId) -> Result<WorkspaceCaller, Error> {
        let caller = self.principal(who, id).await?;
        Ok(checks::only_self(&caller, id)?.clone())
    }

    /// Who calls about workspace `id`: known already, or by what was presented.
    async fn principal(&self, who: Who, id: WorkspaceId) -> Result<Caller, Error> {
        match &self.inbound {
            None => Ok(self.caller.clone()),
            Some(inbound) => Ok(inbound
                .authenticator
                .authenticate(inbound.mode, &inbound.presented, who, Some(id))
                .await?),
        }
    }

    /// True if a direct caller's proof was overtaken; it is looked at again then.
    fn is_outdated<T>(&self, outcome: &Result<T, Error>, id: &str) -> bool {
        let overtaken =
            matches!(outcome, Err(error) if error.reason() == Reason::CredentialChanged);
        match (&self.inbound, id.parse()) {
            (Some(inbound), Ok(id)) if overtaken => {
                inbound.authenticator.forget(&inbound.presented, id);
                true
            }
            _ => false,
        }
    }

    fn of<T>(request: &Request<T>) -> Result<Self, Error> {
        let caller = request
            .extensions()
            .get::<Caller>()
            .cloned()
            .ok_or_else(|| {
                Error::new(
                    Reason::MissingCredential,
                    "no identity: authenticate with metadata `authorization`",
                )
            })?;
        let traceparent = TraceParent::current();
        let inbound = request.extensions().get::<Inbound>().cloned();
        Ok(Self {
            caller,
            inbound,
            traceparent,
        })
    }
}

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
        let call = Call::of(&request).map_err(|error| to_status(&error))?;
        // Postgres' own deadlines do not help when nothing of it answers.
        let work = handler(Arc::clone(&self.app), call, request.into_inner());
        let outcome = match tokio::time::timeout(DEADLINE, work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::store_unavailable(
                "no answer within the deadline of a call",
            )),
        };
        match outcome {
            Ok(response) => Ok(Response::new(response)),
            Err(error) => Err(to_status(&error)),
        }
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
    issue_token: IssueTokenRequest -> IssueTokenResponse = tokens::issue;
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
