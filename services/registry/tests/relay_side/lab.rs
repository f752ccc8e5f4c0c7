//! A registry with its identity layer, and a relay that calls it.

use std::future::Future;
use std::sync::Arc;

use candor_identity::{Authenticator, Keys, ListenerMode, Verifier};
use candor_process::grpc::{GrpcLimits, GrpcServer, from_status};
use candor_process::migrate;
use candor_process::pool::PoolSettings;
use candor_proto::registry::v1 as pb;
use candor_proto::registry::v1::registry_service_client::RegistryServiceClient;
use candor_registry::{AUDIENCE, Registry, RegistryConfig, serve};
use candor_testkit::peer::as_platform;
use candor_testkit::platform::IDENTITY_KEY;
use candor_testkit::postgres::{self, Postgres};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::sync::DropGuard;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

type Client = RegistryServiceClient<Channel>;

/// A registry that serves on an open listener.
pub(crate) struct Lab {
    pub(crate) url: String,
    pub(crate) client: Client,
    _registry: Registry,
    _stop: DropGuard,
    _postgres: Postgres,
}

impl Lab {
    pub(crate) async fn new() -> Self {
        let postgres = Postgres::start_new().await.unwrap();
        let url = postgres.create_database().await.unwrap();
        let pool = PoolSettings::new("test").open(url.parse().unwrap());
        migrate::up(&pool).await.unwrap();
        let stop = CancellationToken::new();
        let verifier = Arc::new(Verifier::new(Keys::new(IDENTITY_KEY, None).unwrap()));
        let config = RegistryConfig {
            event_retention_days: 30,
            ..RegistryConfig::default()
        };
        let registry = Registry::start(pool, config, Some(Arc::clone(&verifier)), &stop);
        let credentials = Arc::new(registry.credentials());
        let authenticator = Arc::new(Authenticator::new(credentials, None, registry.watermark()));
        let open = ListenerMode::Open;
        let service = serve::authenticated(&registry, authenticator, Some(verifier), open);
        let routes = Routes::new(service);
        let server = GrpcServer::new(routes, &[], &[], GrpcLimits::default())
            .await
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(server.serve(listener, stop.clone()));
        let channel = Endpoint::from_shared(address).unwrap().connect().await;
        Self {
            url,
            client: Client::new(channel.unwrap()),
            _registry: registry,
            _stop: stop.drop_guard(),
            _postgres: postgres,
        }
    }

    /// A call of the relay; an error as it reads it.
    pub(crate) async fn relay<Req, Res, F>(
        &self,
        message: Req,
        method: impl FnOnce(Client, Request<Req>) -> F,
    ) -> Result<Res, candor_kernel::Error>
    where
        F: Future<Output = Result<Response<Res>, Status>>,
    {
        let request = as_platform(message, "relay", AUDIENCE);
        let answer = method(self.client.clone(), request).await;
        answer
            .map(Response::into_inner)
            .map_err(|status| from_status(&status))
    }

    /// A workspace as somebody left it.
    pub(crate) async fn workspace(&self, status: &str) -> String {
        self.child_of(None, status).await
    }

    pub(crate) async fn child_of(&self, parent: Option<&str>, status: &str) -> String {
        let id = uuid::Uuid::now_v7().to_string();
        let parent = parent.map_or("NULL".to_owned(), |parent| format!("'{parent}'"));
        self.execute(&format!(
            "INSERT INTO workspaces (id, name, status, parent_id, runtime)
             VALUES ('{id}', 'w', '{status}', {parent}, 'external')"
        ))
        .await;
        id
    }

    pub(crate) async fn execute(&self, statements: &str) {
        postgres::execute(&self.url, statements).await.unwrap();
    }

    pub(crate) async fn text(&self, query: &str) -> String {
        postgres::text(&self.url, query).await.unwrap()
    }

    /// Every stored event of a workspace, in order.
    pub(crate) async fn events(&self, id: &str) -> String {
        self.text(&format!(
            "SELECT coalesce(string_agg(event_type || payload::text, ' ' ORDER BY created_at, id), '')
             FROM structure_events WHERE workspace_id = '{id}'"
        ))
        .await
    }

    /// What decisions compare: it rises with every write of one.
    pub(crate) async fn version(&self, id: &str) -> String {
        self.text(&format!(
            "SELECT state_version::text FROM registry.workspace_vitals WHERE id = '{id}'"
        ))
        .await
    }

    pub(crate) async fn beat(&self, id: &str, runtime_state: &str, sample_error: &str) {
        let taken = self.try_beat(id, runtime_state, sample_error).await;
        taken.unwrap();
    }

    pub(crate) async fn try_beat(
        &self,
        id: &str,
        runtime_state: &str,
        sample_error: &str,
    ) -> Result<(), candor_kernel::Error> {
        let beat = pb::HeartbeatRequest {
            workspace_id: id.to_owned(),
            error_rate: Some(0.0),
            uptime_seconds: Some(60),
            runtime_state: Some(runtime_state.to_owned()),
            sample_error: Some(sample_error.to_owned()),
            ..pb::HeartbeatRequest::default()
        };
        let taken = self.client.clone().heartbeat(beat).await;
        taken.map(drop).map_err(|status| from_status(&status))
    }

    /// An observation of the current instance, in short: status and rule.
    pub(crate) async fn observe(&self, id: &str, evidence: &str) -> (String, String) {
        self.observe_epoch(id, 0, evidence).await
    }

    pub(crate) async fn observe_epoch(
        &self,
        id: &str,
        epoch: i64,
        evidence: &str,
    ) -> (String, String) {
        let answer = self.try_observe(id, epoch, evidence).await.unwrap();
        (answer.status, answer.rule)
    }

    pub(crate) async fn try_observe(
        &self,
        id: &str,
        epoch: i64,
        evidence: &str,
    ) -> Result<pb::ReportObservationResponse, candor_kernel::Error> {
        let request = pb::ReportObservationRequest {
            workspace_id: id.to_owned(),
            epoch,
            unresponsive_evidence: evidence.to_owned(),
        };
        self.relay(request, |mut client, request| async move {
            client.report_observation(request).await
        })
        .await
    }

    pub(crate) async fn target(
        &self,
        id: &str,
        caller: &str,
    ) -> Result<pb::Target, candor_kernel::Error> {
        let request = pb::ResolveTargetRequest {
            workspace_id: id.to_owned(),
            caller_id: caller.to_owned(),
        };
        self.relay(request, |mut client, request| async move {
            client.resolve_target(request).await
        })
        .await
    }

    pub(crate) async fn explain(&self, id: &str) -> pb::ExplainStatusResponse {
        let request = pb::ExplainStatusRequest {
            id: id.to_owned(),
            limit: 0,
        };
        let answer = self.client.clone().explain_status(request).await;
        answer.unwrap().into_inner()
    }
}
