//! A running provisioner: its tasks, and what others may hold of it.

use std::sync::Arc;
use std::time::Duration;

use candor_peers::{ActivityClient, RegistryClient, RelayClient};
use candor_process::pool::PoolSettings;
use candor_proto::provisioner::v1::provisioner_service_server::ProvisionerServiceServer;
use candor_secrets::Sealer;
use sqlx::PgPool;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::announce::announce;
use crate::app::App;
use crate::config::ProvisionerConfig;
use crate::reconcile;
use crate::service::{FILES_LIMIT, ProvisionerGrpc};
use crate::setup::Backends;
use crate::store::Store;

/// Longest wait for steps that run when the process ends; whoever comes next goes on.
const STEPS_END: Duration = Duration::from_secs(8);

/// The services that it calls.
#[derive(Debug, Clone)]
pub struct Services {
    /// Workspaces, status, tokens.
    pub registry: RegistryClient,
    /// Activity rows: when a workspace last had to do with anybody.
    pub activity: ActivityClient,
    /// Messages.
    pub relay: RelayClient,
}

/// A provisioner and its tasks.
pub struct Provisioner {
    app: Arc<App>,
    /// Whether the registry was told what runs here.
    announced: watch::Receiver<bool>,
}

impl Provisioner {
    /// The pool that it wants.
    #[must_use]
    pub fn pool_settings(name: &str) -> PoolSettings {
        PoolSettings::new(name)
    }

    /// Starts on a migrated database. The order to `stop` ends its tasks.
    #[must_use]
    pub fn start(
        pool: PgPool,
        services: Services,
        backends: Backends,
        sealer: Sealer,
        config: ProvisionerConfig,
        stop: &CancellationToken,
    ) -> Self {
        let app = Arc::new(App {
            me: Uuid::now_v7(),
            config,
            store: Store::new(pool),
            services,
            backends,
            sealer,
            due: Notify::new(),
            settled: Notify::new(),
            tasks: TaskTracker::new(),
            stop: stop.clone(),
        });
        let tasks = app.tasks.clone();
        tasks.spawn(reconcile::run::run(Arc::clone(&app)));
        tasks.spawn(reconcile::sweep::run(Arc::clone(&app)));
        tasks.spawn(reconcile::idle::run(Arc::clone(&app)));
        tasks.spawn(reconcile::watch::run(Arc::clone(&app)));
        let (told, announced) = watch::channel(false);
        app.tasks.spawn(announce(Arc::clone(&app), told));
        Self { app, announced }
    }

    /// Waits until the registry knows what runs here, so that a workspace that is created
    /// from now on finds its backend; tells whether it does.
    pub async fn announced(&self, within: Duration) -> bool {
        let mut announced = self.announced.clone();
        let told = announced.wait_for(|told| *told);
        matches!(tokio::time::timeout(within, told).await, Ok(Ok(_)))
    }

    /// A readiness check: Postgres answers, and the schema is there.
    pub fn readiness(
        &self,
    ) -> impl Fn() -> futures::future::BoxFuture<'static, Result<(), String>> + Send + Sync + 'static
    {
        let app = Arc::clone(&self.app);
        move || {
            let app = Arc::clone(&app);
            Box::pin(async move {
                let told = |error: candor_kernel::Error| error.for_operators().to_owned();
                app.store.check().await.map_err(told)
            })
        }
    }

    /// The gRPC service, for whoever is authenticated already.
    #[must_use]
    pub fn service(&self) -> ProvisionerServiceServer<ProvisionerGrpc> {
        ProvisionerServiceServer::new(ProvisionerGrpc::new(Arc::clone(&self.app)))
            .max_decoding_message_size(FILES_LIMIT)
    }

    /// Lets steps end.
    pub async fn drained(self) {
        self.app.tasks.close();
        if tokio::time::timeout(STEPS_END, self.app.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                steps = self.app.tasks.len(),
                "steps of instances still run; the next provisioner goes on with them"
            );
        }
    }
}
