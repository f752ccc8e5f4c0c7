//! A running relay: its tasks, and what others may hold of it.

use std::sync::Arc;
use std::time::Duration;

use candor_egress::{DialError, Egress};
use candor_process::grpc::MESSAGE_LIMIT;
use candor_process::pool::PoolSettings;
use candor_process::scales::Scales;
use candor_proto::a2a::v1::a2a_service_server::A2aServiceServer;
use candor_proto::relay::v1::relay_service_server::RelayServiceServer;
use sqlx::PgPool;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::app::{App, MOST_ANSWERS, MOST_CALLS};
use crate::config::RelayConfig;
use crate::follow::{self, Progressing};
use crate::forward::{Forwarder, Services};
use crate::health::Health;
use crate::journal::Journal;
use crate::ledger::{self, Waker};
use crate::outbox::{self, Bell};
use crate::resolver::Resolver;
use crate::service::{A2aGrpc, RelayGrpc};
use crate::store::{self, Store};
use crate::upkeep;
use crate::wakes::Wakes;

/// Longest wait for calls that run when the process ends; the rest is reported by
/// the next relay, or sent again.
const CALLS_END: Duration = Duration::from_secs(8);
/// Longest wait for what is queued after that.
const DRAIN: Duration = Duration::from_secs(6);

/// A relay and its tasks.
pub struct Relay {
    app: Arc<App>,
    journal: JoinHandle<()>,
    forwarder: JoinHandle<()>,
    outbox: JoinHandle<()>,
    tasks: TaskTracker,
    last_outcome: CancellationToken,
    last_write: CancellationToken,
    last_word: CancellationToken,
}

impl Relay {
    /// The pool that it wants.
    #[must_use]
    pub fn pool_settings(name: &str) -> PoolSettings {
        PoolSettings::new(name)
    }

    /// Starts on a migrated database. The order to `stop` ends streams and the work
    /// on the ledger; calls are served until [`Relay::drained`].
    ///
    /// # Errors
    /// When this machine has no certificates to judge agents by.
    pub fn start(
        pool: PgPool,
        services: Services,
        config: RelayConfig,
        stop: &CancellationToken,
    ) -> Result<Self, DialError> {
        let egress = Egress::new(config.agent_addresses)?;
        let options = pool.connect_options().as_ref().clone();
        let store = Store::new(pool);
        let [last_outcome, last_write, last_word] = [(); 3].map(|()| CancellationToken::new());
        let me = Uuid::now_v7();
        let (journal, writing) = Journal::start(options, me, last_write.clone());
        let (forwarder, telling) = Forwarder::start(
            services.clone(),
            store.clone(),
            journal.clone(),
            last_outcome.clone(),
        );
        let bell = Bell::default();
        let emptying = tokio::spawn(outbox::run(
            store.clone(),
            services.clone(),
            bell.clone(),
            last_word.clone(),
        ));
        let tasks = TaskTracker::new();
        let app = Arc::new(App {
            me,
            config,
            store,
            resolver: Resolver::start(services.registry.clone()),
            wakes: Wakes::new(services.registry.clone(), tasks.clone(), stop.clone()),
            services,
            egress,
            answers: Scales::new(MOST_ANSWERS),
            journal,
            forwarder,
            health: Health::default(),
            progressing: Progressing::default(),
            waker: Waker::default(),
            bell,
            places: Arc::new(Semaphore::new(MOST_CALLS)),
            tasks: tasks.clone(),
            stop: stop.clone(),
        });
        tasks.spawn(ledger::run(Arc::clone(&app), tasks.clone(), stop.clone()));
        tasks.spawn(upkeep::run(Arc::clone(&app), stop.clone()));
        tasks.spawn(follow::run(
            app.services.registry.clone(),
            app.progressing.clone(),
            app.waker.clone(),
            stop.clone(),
        ));
        Ok(Self {
            app,
            journal: writing,
            forwarder: telling,
            outbox: emptying,
            tasks,
            last_outcome,
            last_write,
            last_word,
        })
    }

    /// The gRPC service, for whoever is authenticated already.
    #[must_use]
    pub fn service(&self) -> RelayServiceServer<RelayGrpc> {
        RelayServiceServer::new(RelayGrpc::new(Arc::clone(&self.app)))
            .max_decoding_message_size(MESSAGE_LIMIT)
    }

    /// `lf.a2a.v1.A2AService`, for whoever is authenticated already.
    #[must_use]
    pub fn a2a_service(&self) -> A2aServiceServer<A2aGrpc> {
        A2aServiceServer::new(A2aGrpc::new(Arc::clone(&self.app)))
            .max_decoding_message_size(MESSAGE_LIMIT)
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
                let mut connection = app.store.connection().await.map_err(told)?;
                store::outbox::backlog(&mut connection)
                    .await
                    .map_err(told)?;
                Ok(())
            })
        }
    }

    /// Lets calls end, tells and writes what is queued, and ends.
    pub async fn drained(self) {
        self.tasks.close();
        if tokio::time::timeout(CALLS_END, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                calls = self.tasks.len(),
                "calls still wait for their agents; the next relay reports them"
            );
        }
        let drain = async {
            self.last_outcome.cancel();
            let told = self.forwarder.await;
            self.last_write.cancel();
            let written = self.journal.await;
            self.last_word.cancel();
            let emptied = self.outbox.await;
            for error in [told, written, emptied].into_iter().filter_map(Result::err) {
                tracing::error!(%error, "a task of the relay did not end well");
            }
        };
        if tokio::time::timeout(DRAIN, drain).await.is_err() {
            tracing::warn!(deadline = ?DRAIN, "left before everything queued was settled");
        }
    }
}
