//! Finds what is due, and gives each workspace its turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use candor_kernel::Error;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{take, turn};
use crate::app::App;
use crate::store::instances;

/// Workspaces that are moved on at a time.
const AT_ONCE: usize = 64;
/// Longest time between two looks at what is wanted and what is due: what rang no bell is
/// found then.
const LOOK: Duration = Duration::from_secs(2);
/// Pause after a look that failed.
const RETRY: Duration = Duration::from_millis(500);

/// Until stopped.
pub(crate) async fn run(app: Arc<App>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    while !app.stop.is_cancelled() {
        let pause = look(&app, &places).await.unwrap_or_else(|error| {
            tracing::warn!(
                internal = error.internal_text(),
                "what is wanted of instances cannot be read now: {error}"
            );
            RETRY
        });
        tokio::select! {
            () = app.stop.cancelled() => return,
            () = app.due.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// One look; the pause until the next.
async fn look(app: &Arc<App>, places: &Arc<Semaphore>) -> Result<Duration, Error> {
    take::take(app).await?;
    let free = i64::try_from(places.available_permits()).unwrap_or(0);
    if free == 0 {
        return Ok(RETRY);
    }
    let mut connection = app.store.connection().await?;
    let (me, lease) = (app.me, app.config.lease);
    let due = instances::lease_due(&mut connection, me, &app.backend_names(), lease, free).await?;
    if !due.is_empty() {
        app.config.crash.passed("leased");
    }
    let next = instances::next_due(&mut connection, &app.backend_names()).await?;
    drop(connection);
    for id in due {
        let Ok(place) = Arc::clone(places).try_acquire_owned() else {
            break;
        };
        let app = Arc::clone(app);
        app.tasks.clone().spawn(async move {
            held(&app, id).await;
            drop(place);
            app.due.notify_one();
        });
    }
    // A row that another process holds is no reason to look without end.
    let soon = Duration::from_millis(20);
    Ok(next.unwrap_or(LOOK).clamp(soon, LOOK))
}

/// A turn for as long as its lease holds.
async fn held(app: &Arc<App>, id: Uuid) {
    let renewed = async {
        let mut renewed_at = Instant::now();
        loop {
            tokio::time::sleep(app.config.lease / 3).await;
            let kept = async {
                let mut connection = app.store.connection().await?;
                instances::renew(&mut connection, id, app.me, app.config.lease).await
            };
            match kept.await {
                Ok(true) => renewed_at = Instant::now(),
                Ok(false) => return,
                Err(_) if renewed_at.elapsed() >= app.config.lease => return,
                Err(error) => {
                    tracing::warn!(workspace = %id, "a lease could not be renewed: {error}");
                }
            }
        }
    };
    tokio::select! {
        () = turn::run(app, id) => {}
        () = renewed => tracing::warn!(workspace = %id, "lost the lease of an instance"),
    }
}
