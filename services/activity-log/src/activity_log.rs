//! A running activity log: its tasks, and what others may hold of it.

use std::sync::Arc;
use std::time::Duration;

use candor_peers::RegistryClient;
use candor_process::grpc::MESSAGE_LIMIT;
use candor_process::pool::PoolSettings;
use candor_proto::activity::v1::activity_log_service_server::ActivityLogServiceServer;
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::announce::Announcer;
use crate::service::ActivityGrpc;
use crate::store::{self, Store};
use crate::upkeep;
use crate::writer::Writer;

/// The largest message that is taken, in bytes: a request and a response of 1 MiB
/// each, with room for what is around them.
const LARGEST: usize = MESSAGE_LIMIT + 1024 * 1024;
/// Longest wait for what is queued when the process ends.
const DRAIN: Duration = Duration::from_secs(6);

/// What the handlers share.
pub(crate) struct App {
    pub store: Store,
    pub writer: Writer,
    pub announcer: Announcer,
    /// The order to stop: streams end.
    pub stop: CancellationToken,
}

/// An activity log and its tasks: the writer, the announcer, the upkeep.
pub struct ActivityLog {
    app: Arc<App>,
    writer: JoinHandle<()>,
    announcer: JoinHandle<()>,
    tasks: TaskTracker,
    last_write: CancellationToken,
    last_word: CancellationToken,
}

impl ActivityLog {
    /// The pool that it wants: plans for the values of optional filters, and
    /// transactions that hold the log's end for moments only.
    #[must_use]
    pub fn pool_settings(name: &str) -> PoolSettings {
        let mut settings = PoolSettings::new(name).planned_by_value();
        let idle = ("idle_in_transaction_session_timeout", "3s");
        settings.options.push(idle);
        settings
    }

    /// Starts on a migrated database; tells `registry` what was written, keeps
    /// rows for so many days. The order to `stop` ends streams and the upkeep;
    /// writes are taken until [`ActivityLog::drained`].
    #[must_use]
    pub fn start(
        pool: PgPool,
        registry: RegistryClient,
        retention_days: u32,
        stop: &CancellationToken,
    ) -> Self {
        // Its statements are large, and their plans the same for any values.
        let options = pool.connect_options().as_ref().clone();
        let options = options.options([("plan_cache_mode", "auto")]);
        let (last_write, last_word) = (CancellationToken::new(), CancellationToken::new());
        let (announcer, telling) = Announcer::start(registry, last_word.clone());
        let (writer, writing) = Writer::start(options, announcer.clone(), last_write.clone());
        let app = Arc::new(App {
            store: Store::new(pool),
            writer,
            announcer,
            stop: stop.clone(),
        });
        let tasks = TaskTracker::new();
        tasks.spawn(upkeep::run(Arc::clone(&app), retention_days, stop.clone()));
        tasks.close();
        Self {
            app,
            writer: writing,
            announcer: telling,
            tasks,
            last_write,
            last_word,
        }
    }

    /// The gRPC service, for whoever is authenticated already.
    #[must_use]
    pub fn service(&self) -> ActivityLogServiceServer<ActivityGrpc> {
        ActivityLogServiceServer::new(ActivityGrpc::new(Arc::clone(&self.app)))
            .max_decoding_message_size(LARGEST)
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
                store::upkeep::ready(&mut connection).await.map_err(told)?;
                Ok(())
            })
        }
    }

    /// Writes and tells what is queued, and ends.
    pub async fn drained(self) {
        let drain = async {
            self.last_write.cancel();
            let written = self.writer.await;
            self.last_word.cancel();
            let told = self.announcer.await;
            self.tasks.wait().await;
            for error in [written, told].into_iter().filter_map(Result::err) {
                tracing::error!(%error, "a task of the activity log did not end well");
            }
        };
        if tokio::time::timeout(DRAIN, drain).await.is_err() {
            tracing::warn!(deadline = ?DRAIN, "left before everything queued was settled");
        }
    }
}
