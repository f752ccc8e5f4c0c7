//! Deletes what nobody needs any more: old events, and credentials that ended
//! long ago.

use std::sync::Arc;
use std::time::Duration;

use candor_kernel::Error;
use metrics::Counter;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::store::retention;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Between two batches, so that others get their turn.
const BREATHE: Duration = Duration::from_millis(50);
/// Longest work on one batch.
const DEADLINE: Duration = Duration::from_secs(10);

/// Runs until stopped.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    loop {
        match stop.run_until_cancelled(turn(&app)).await {
            None => return,
            Some(Ok(())) => app.ticks.tick("retention"),
            Some(Err(error)) => tracing::warn!(
                internal = error.internal_text(),
                "retention failed, it is tried again"
            ),
        }
        let pause = tokio::time::sleep(LOOK_EVERY);
        if stop.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}

async fn turn(app: &App) -> Result<(), Error> {
    let days = i32::try_from(app.config.event_retention_days).unwrap_or(i32::MAX);
    let expired = metrics::counter!("candor_events_expired_total");
    batches(&expired, || async {
        retention::delete_events(&mut *app.connection().await?, days).await
    })
    .await?;
    let expired = metrics::counter!("candor_tokens_expired_total");
    batches(&expired, || async {
        retention::delete_tokens(&mut *app.connection().await?).await
    })
    .await
}

/// Repeats a batch until one does nothing.
async fn batches<F>(counter: &Counter, batch: impl Fn() -> F) -> Result<(), Error>
where
    F: Future<Output = Result<u64, Error>>,
{
    loop {
        let deleted = tokio::time::timeout(DEADLINE, batch())
            .await
            .unwrap_or_else(|_| Err(Error::store_unavailable("a batch took too long")))?;
        counter.increment(deleted);
        if deleted == 0 {
            return Ok(());
        }
        tokio::time::sleep(BREATHE).await;
    }
}
