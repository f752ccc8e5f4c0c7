//! A running registry: its tasks, and what others may hold of it.

use std::sync::Arc;
use std::time::Duration;

use candor_events::Bus;
use candor_identity::{RejectedBeats, Verifier, Watermark};
use candor_process::grpc::MESSAGE_LIMIT;
use candor_process::pool::PoolSettings;
use candor_proto::registry::v1::registry_service_server::RegistryServiceServer;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::beats::{BeatService, Beats};
use crate::config::RegistryConfig;
use crate::credentials::StoredCredentials;
use crate::service::RegistryGrpc;
use crate::store::{self, Store};
use crate::ticks::Ticks;
use crate::{replicas, retention, sequencer, sweeper};

/// A registry and its tasks: the batcher, the sequencer, the sweeper.
pub struct Registry {
    app: Arc<App>,
    tasks: TaskTracker,
    batcher: JoinHandle<()>,
    last_beat: CancellationToken,
    last_event: CancellationToken,
}

/// Longest wait for what is queued when the process ends; a Postgres that does
/// not answer must not keep it.
const DRAIN: Duration = Duration::from_secs(6);

/// Published events that are remembered, and for how long.
const TOLD: u64 = 100_000;
const TOLD_FOR: Duration = Duration::from_secs(60);

/// Connections for what the relay asks before each message.
const FOR_TARGETS: u32 = 4;

impl Registry {
    /// Starts on a migrated database. `verifier` believes Candor's other
    /// processes. The order to `stop` ends streams and the sweeper; beats are
    /// taken until [`Registry::drained`], so that calls in progress get through.
    #[must_use]
    pub fn start(
        pool: PgPool,
        config: RegistryConfig,
        verifier: Option<Arc<Verifier>>,
        stop: &CancellationToken,
    ) -> Self {
        let options = pool.connect_options().as_ref().clone();
        let mut for_targets = PoolSettings::new("candor-targets").planned_once();
        for_targets.max_connections = FOR_TARGETS;
        let for_targets = Store::new(for_targets.open(options.clone()));
        let events_written = Arc::new(Notify::new());
        let last_beat = CancellationToken::new();
        let bus = Bus::new();
        let (beats, batcher) = Beats::start(
            options,
            config.leases,
            Arc::clone(&events_written),
            bus.clone(),
            last_beat.clone(),
        );
        let app = Arc::new(App {
            store: Store::new(pool),
            for_targets,
            tasks_elsewhere: beats.tasks_elsewhere(),
            beats: BeatService::new(beats, config.leases),
            config,
            bus,
            verifier,
            events_written,
            watermark: Watermark::default(),
            rejected: RejectedBeats::default(),
            told: Cache::builder()
                .max_capacity(TOLD)
                // The newest ids, not those that are asked for most.
                .eviction_policy(EvictionPolicy::lru())
                .time_to_live(TOLD_FOR)
                .build(),
            ticks: Ticks::default(),
            stop: stop.clone(),
        });
        let tasks = TaskTracker::new();
        // The events of the last beats get their numbers, too.
        let last_event = CancellationToken::new();
        tasks.spawn(sequencer::run(Arc::clone(&app), last_event.clone()));
        tasks.spawn(sweeper::run(Arc::clone(&app), stop.clone()));
        tasks.spawn(retention::run(Arc::clone(&app), stop.clone()));
        tasks.spawn(replicas::run(Arc::clone(&app), last_event.clone()));
        Self {
            app,
            tasks,
            batcher,
            last_beat,
            last_event,
        }
    }

    /// The gRPC service, for whoever is authenticated already.
    #[must_use]
    pub fn service(&self) -> RegistryServiceServer<RegistryGrpc> {
        RegistryServiceServer::new(RegistryGrpc::new(Arc::clone(&self.app)))
            .max_decoding_message_size(MESSAGE_LIMIT)
    }

    /// Answers the identity layer.
    #[must_use]
    pub fn credentials(&self) -> StoredCredentials {
        StoredCredentials(self.app.store.clone())
    }

    /// Moves when credentials change in this process.
    #[must_use]
    pub fn watermark(&self) -> Watermark {
        self.app.watermark.clone()
    }

    /// Where refused beats are counted.
    #[must_use]
    pub fn rejected_beats(&self) -> RejectedBeats {
        self.app.rejected.clone()
    }

    /// The way into group commit, without a hop.
    #[must_use]
    pub fn beats(&self) -> BeatService {
        self.app.beats.clone()
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
                let mut connection = app.connection().await.map_err(told)?;
                store::events::last_seq(&mut connection)
                    .await
                    .map_err(told)?;
                Ok(())
            })
        }
    }

    /// Answers the beats that are queued, numbers their events, and ends.
    pub async fn drained(self) {
        if tokio::time::timeout(DRAIN, self.drain()).await.is_err() {
            tracing::warn!(deadline = ?DRAIN, "left before everything queued was settled");
        }
    }

    async fn drain(self) {
        self.last_beat.cancel();
        if let Err(error) = self.batcher.await {
            tracing::error!(%error, "the batcher did not end well");
        }
        self.last_event.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
