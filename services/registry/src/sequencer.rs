//! Draws `seq` for committed events and tells watchers, here and elsewhere.
//!
//! Level-triggered: it looks when woken by a commit of this process, by another
//! process' notification, and once a second in any case.

use std::sync::Arc;
use std::time::Duration;

use candor_kernel::Error;
use sqlx::postgres::PgListener;
use tokio_util::sync::CancellationToken;

use crate::app::App;

use crate::store::Store;
use crate::store::events::{self, CHANNEL};

/// How long an unnoticed event may wait.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Pause after Postgres did not answer.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Runs until stopped.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let store = &app.store;
    let mut listener = None;
    loop {
        match within(draw_all(store)).await {
            Ok(last) => {
                app.bus.advance(last);
                app.ticks.tick("event-sequencer");
            }
            Err(error) => {
                tracing::warn!(
                    internal = error.internal_text(),
                    "drawing event numbers failed"
                );
                listener = None;
                tokio::select! {
                    () = tokio::time::sleep(RETRY_AFTER) => continue,
                    () = stop.cancelled() => return,
                }
            }
        }
        if listener.is_none() {
            listener = listen(store).await;
        }
        tokio::select! {
            () = app.events_written.notified() => {}
            () = heard(&mut listener) => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = stop.cancelled() => {
                // Events of the last beats get their numbers, too.
                if let Ok(last) = within(draw_all(store)).await {
                    app.bus.advance(last);
                }
                return;
            }
        }
    }
}

/// Longest work on one page of numbers.
const DEADLINE: Duration = Duration::from_secs(2);

async fn within(work: impl Future<Output = Result<i64, Error>>) -> Result<i64, Error> {
    match tokio::time::timeout(DEADLINE, work).await {
        Ok(drawn) => drawn,
        Err(_) => Err(Error::store_unavailable(
            "drawing event numbers took too long",
        )),
    }
}

/// Draws until nothing waits; returns the newest `seq`.
pub(crate) async fn draw_all(store: &Store) -> Result<i64, Error> {
    loop {
        let mut tx = store.begin().await?;
        let (drawn, last) = events::sequence(&mut tx).await?;
        Store::commit(tx).await?;
        if drawn == 0 {
            return Ok(last);
        }
        metrics::counter!("candor_events_sequenced_total").increment(drawn.unsigned_abs());
    }
}

async fn listen(store: &Store) -> Option<PgListener> {
    let mut listener = PgListener::connect_with(store.pool()).await.ok()?;
    listener.listen(CHANNEL).await.ok()?;
    Some(listener)
}

/// Waits for another process' word; for ever if there is no listener.
async fn heard(listener: &mut Option<PgListener>) {
    let Some(active) = listener else {
        return std::future::pending().await;
    };
    if active.recv().await.is_err() {
        *listener = None;
    }
}
