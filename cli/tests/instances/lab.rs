//! A whole platform in this process, on a Postgres of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use candor_activity_log::ActivityLog;
use candor_gateway::{BeatSink, Gateway, GatewayConfig, Services};
use candor_identity::{Authenticator, ListenerMode};
use candor_kernel::{Caller, Error, WorkspaceCaller, WorkspaceId};
use candor_peers::{ActivityClient, ProvisionerClient, RegistryClient, RelayClient, local};
use candor_process::migrate;
use candor_process::pool::PoolSettings;
use candor_process::telemetry::Metrics;
use candor_process::telemetry::propagation::TraceParent;
use candor_proto::provisioner::v1 as pb;
use candor_proto::registry::v1::{
    AnnounceBackendsRequest, AnnouncedBackend, HeartbeatRequest, HeartbeatResponse,
};
use candor_provisioner::reconcile::{Budget, CrashPoint};
use candor_provisioner::{BackendHome, Backends, Provisioner, ProvisionerConfig};
use candor_registry::beats::BeatService;
use candor_registry::{Registry, RegistryConfig};
use candor_relay::{Relay, RelayConfig};
use candor_secrets::Sealer;
use candor_testkit::http::{Answer, Call, Client};
use candor_testkit::postgres::{self, Postgres};
use candor_testkit::wait::wait_for;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::scripted::{RUNTIME, Scripted};

/// Longest wait for anything.
pub const SOON: Duration = Duration::from_secs(20);

struct LocalBeats(BeatService);

#[async_trait]
impl BeatSink for LocalBeats {
    async fn beat(
        &self,
        caller: WorkspaceCaller,
        beat: HeartbeatRequest,
        traceparent: Option<TraceParent>,
    ) -> Result<HeartbeatResponse, Error> {
        self.0.beat(caller, beat, traceparent).await
    }
}

/// The platform.
pub struct Lab {
    pub backend: Scripted,
    pub url: String,
    pub http: SocketAddr,
    pub provisioner: ProvisionerClient,
    clients: Clients,
    pool: PgPool,
    stop: CancellationToken,
    _stops: DropGuard,
    _parts: (Registry, ActivityLog, Relay),
    provisioners: Vec<Provisioner>,
    _postgres: Postgres,
}

/// Settings with which nothing takes long.
pub fn config() -> ProvisionerConfig {
    ProvisionerConfig {
        templates: None,
        provision_timeout: Some(Duration::from_secs(600)),
        grace: Duration::from_secs(1),
        budget: Budget {
            first_pause: Duration::from_millis(10),
            longest_pause: Duration::from_millis(50),
            ..Budget::default()
        },
        sweep: Duration::from_millis(100),
        lease: Duration::from_secs(2),
        crash: CrashPoint::default(),
    }
}

/// How services are called.
struct Clients {
    registry: RegistryClient,
    activity: ActivityClient,
    relay: RelayClient,
}

impl Clients {
    fn provisioner(
        &self,
        pool: &PgPool,
        backend: &Scripted,
        settings: ProvisionerConfig,
        stop: &CancellationToken,
    ) -> Provisioner {
        let services = candor_provisioner::Services {
            registry: self.registry.clone(),
            activity: self.activity.clone(),
            relay: self.relay.clone(),
        };
        let home = BackendHome::new(Arc::new(backend.clone()), "http://127.0.0.1:9");
        let backends = Backends::from_iter([home]);
        let sealer = Sealer::default();
        Provisioner::start(pool.clone(), services, backends, sealer, settings, stop)
    }
}

impl Lab {
    pub async fn new() -> Self {
        Self::with(config()).await
    }

    pub async fn with(settings: ProvisionerConfig) -> Self {
        let postgres = Postgres::start_new().await.unwrap();
        let url = postgres.create_database().await.unwrap();
        let pool = PoolSettings::new("test").open(url.parse().unwrap());
        migrate::up(&pool).await.unwrap();
        let stop = CancellationToken::new();
        let registry_config = RegistryConfig {
            event_retention_days: 30,
            ..RegistryConfig::default()
        };
        let registry = Registry::start(pool.clone(), registry_config, None, &stop);
        let registry_client = || RegistryClient::new(local(registry.service()));
        let activity_log = ActivityLog::start(pool.clone(), registry_client(), 7, &stop);
        let activity = ActivityClient::new(local(activity_log.service()));
        let relay_services = candor_relay::Services {
            registry: registry_client(),
            activity: activity.clone(),
        };
        let relay = Relay::start(pool.clone(), relay_services, relay_config(), &stop).unwrap();
        let backend = Scripted::new();
        let clients = Clients {
            registry: registry_client(),
            relay: RelayClient::new(local(relay.service())),
            activity,
        };
        let provisioner = clients.provisioner(&pool, &backend, settings, &stop);
        let mut lab = Self {
            http: SocketAddr::from(([127, 0, 0, 1], 0)),
            provisioner: ProvisionerClient::new(local(provisioner.service())),
            clients,
            backend,
            url,
            pool,
            stop: stop.clone(),
            _stops: stop.drop_guard(),
            _parts: (registry, activity_log, relay),
            provisioners: vec![provisioner],
            _postgres: postgres,
        };
        lab.serve().await;
        lab.announce().await;
        lab
    }

    /// One more provisioner of the same installation, on the same backend.
    pub fn another_provisioner(&mut self, settings: ProvisionerConfig) {
        let another = self
            .clients
            .provisioner(&self.pool, &self.backend, settings, &self.stop);
        self.provisioners.push(another);
    }

    async fn serve(&mut self) {
        let registry = &self._parts.0;
        let credentials = Arc::new(registry.credentials());
        let authenticator = Authenticator::new(credentials, None, registry.watermark());
        let gateway = Gateway::new(
            GatewayConfig::default(),
            Services {
                registry: self.clients.registry.clone(),
                activity: self.clients.activity.clone(),
                relay: self.clients.relay.clone(),
                provisioner: self.provisioner.clone(),
            },
            Arc::new(LocalBeats(registry.beats())),
            Arc::new(authenticator),
            Metrics::detached().unwrap(),
            self.stop.clone(),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.http = listener.local_addr().unwrap();
        self.backend.platform_at(self.http);
        let router = gateway.router(ListenerMode::Open, self.http.ip());
        tokio::spawn(candor_gateway::serve(listener, router, self.stop.clone()));
    }

    async fn announce(&self) {
        let request = AnnounceBackendsRequest {
            backends: vec![AnnouncedBackend {
                name: "scripted".to_owned(),
                runtimes: vec![RUNTIME.to_owned()],
            }],
            ttl: Some(prost_types::Duration {
                seconds: 600,
                nanos: 0,
            }),
        };
        let registry = &self.clients.registry;
        let caller = Caller::system("test");
        let told = registry.call(&caller, request, |mut c, r| async move {
            c.announce_backends(r).await
        });
        told.await.unwrap();
    }

    pub async fn send(&self, call: Call) -> Answer {
        Client::new(self.http).send(call).await.unwrap()
    }

    /// A workspace that the backend runs.
    pub async fn create(&self, name: &str) -> WorkspaceId {
        let body = json!({"name": name, "tier": 2, "runtime": RUNTIME});
        let made = self.send(Call::post("/workspaces", &body)).await;
        assert_eq!(made.status, 201, "{}", made.text());
        made.json()["id"].as_str().unwrap().parse().unwrap()
    }

    pub async fn shown(&self, id: WorkspaceId) -> Value {
        self.send(Call::get(format!("/workspaces/{id}")))
            .await
            .json()
    }

    pub async fn becomes(&self, id: WorkspaceId, status: &str) {
        let what = format!("{id} to be {status}");
        let waited = wait_for(&what, SOON, || async {
            (self.shown(id).await["status"] == status).then_some(())
        });
        if let Err(late) = waited.await {
            panic!(
                "{late}: {}\n{:#?}",
                self.shown(id).await,
                self.explain(id).await
            );
        }
    }

    /// Online with the instance of this epoch.
    pub async fn runs(&self, id: WorkspaceId, epoch: i64) {
        self.becomes(id, "online").await;
        let now = format!("SELECT epoch::text FROM registry.workspace_vitals WHERE id = '{id}'");
        postgres::becomes(&self.url, &now, &epoch.to_string())
            .await
            .unwrap();
        assert_eq!(self.backend.runs(id), Some(epoch));
    }

    pub async fn explain(&self, id: WorkspaceId) -> Option<pb::ExplainInstanceResponse> {
        let request = pb::ExplainInstanceRequest { id: id.to_string() };
        let caller = Caller::system("test");
        let asked = self
            .provisioner
            .call(&caller, request, |mut c, r| async move {
                c.explain_instance(r).await
            });
        asked.await.ok()
    }

    /// Restarted as its owner does it.
    pub async fn restart(&self, id: WorkspaceId) {
        let done = self
            .send(Call::post(format!("/workspaces/{id}/restart"), &json!({})))
            .await;
        assert_eq!(done.status, 200, "{}", done.text());
    }

    pub async fn text(&self, query: &str) -> String {
        postgres::text(&self.url, query).await.unwrap()
    }
}

fn relay_config() -> RelayConfig {
    RelayConfig {
        idle_timeout: Duration::from_secs(300),
        unresponsive_min_deadline: Duration::from_secs(60),
        agent_addresses: "loopback".parse().unwrap(),
        public_url: None,
        grpc_url: None,
    }
}
