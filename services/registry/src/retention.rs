//! Deletes what nobody needs any more: old events, and credentials that ended
//! long ago.

use std::sync::Arc;
use std::time::Duration;

use candor_kernel::Error;
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
    loop {
        let batch = async {
            let mut tx = app.store.begin().await?;
            let events = retention::delete_events(&mut tx, days).await?;
            let tokens = retention::delete_tokens(&mut tx).await?;
            crate::store::Store::commit(tx).await?;
            Ok::<_, Error>((events, tokens))
        };
        let (events, tokens) = tokio::time::timeout(DEADLINE, batch)
            .await
            .unwrap_or_else(|_| Err(Error::store_unavailable("a batch took too long")))?;
        metrics::counter!("candor_events_expired_total").increment(events);
        metrics::counter!("candor_tokens_expired_total").increment(tokens);
        if events + tokens == 0 {
            return Ok(());
        }
        tokio::time::sleep(BREATHE).await;
    }
}
