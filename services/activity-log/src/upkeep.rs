//! The task that closes overdue intents, deletes old rows and empties those of
//! purged workspaces.

use std::sync::Arc;
use std::time::Duration;

use candor_kernel::Error;
use candor_process::pool::store_error;
use metrics::Counter;
use sqlx::Connection as _;
use tokio_util::sync::CancellationToken;

use crate::activity_log::App;
use crate::store::{upkeep, write};

/// Between two looks for overdue intents and purged workspaces.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Between two batches, so that readers and writers get their turn.
const BREATHE: Duration = Duration::from_millis(50);
/// Longest work on one batch.
const DEADLINE: Duration = Duration::from_secs(10);

/// Runs until stopped.
pub(crate) async fn run(app: Arc<App>, retention_days: u32, stop: CancellationToken) {
    let days = i32::try_from(retention_days).unwrap_or(i32::MAX);
    loop {
        match stop.run_until_cancelled(turn(&app, days)).await {
            None => return,
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::warn!(
                internal = error.internal_text(),
                "upkeep of the activity log failed, it is tried again"
            ),
        }
        if stop
            .run_until_cancelled(tokio::time::sleep(LOOK_EVERY))
            .await
            .is_none()
        {
            return;
        }
    }
}

async fn turn(app: &App, days: i32) -> Result<(), Error> {
    let reaped = metrics::counter!("candor_activity_reaped_total");
    batches(&reaped, || reap(app)).await?;
    let emptied = metrics::counter!("candor_activity_emptied_total");
    batches(&emptied, || empty(app)).await?;
    let expired = metrics::counter!("candor_activity_expired_total");
    batches(&expired, || async {
        let mut connection = app.store.connection().await?;
        upkeep::delete_old(&mut connection, days).await
    })
    .await
}

/// Repeats a batch until one does nothing.
async fn batches<F>(counter: &Counter, batch: impl Fn() -> F) -> Result<(), Error>
where
    F: Future<Output = Result<u64, Error>>,
{
    loop {
        let changed = tokio::time::timeout(DEADLINE, batch())
            .await
            .unwrap_or_else(|_| Err(Error::store_unavailable("a batch of upkeep took too long")))?;
        counter.increment(changed);
        if changed == 0 {
            return Ok(());
        }
        tokio::time::sleep(BREATHE).await;
    }
}

async fn reap(app: &App) -> Result<u64, Error> {
    let mut connection = app.store.connection().await?;
    let mut tx = connection.begin().await.map_err(store_error)?;
    let ids = upkeep::overdue(&mut tx).await?;
    if ids.is_empty() {
        return Ok(0);
    }
    let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    let places = write::draw(&mut tx, count).await.map_err(store_error)?;
    let reaped = upkeep::reap(&mut tx, &ids, places).await?;
    tx.commit().await.map_err(store_error)?;
    tracing::warn!(
        rows = reaped.len(),
        "closed activity rows whose outcome nobody told"
    );
    for row in reaped {
        app.announcer.logged(row);
    }
    Ok(ids.len() as u64)
}

async fn empty(app: &App) -> Result<u64, Error> {
    let mut connection = app.store.connection().await?;
    let Some(workspace) = upkeep::purged(&mut connection).await? else {
        return Ok(0);
    };
    let emptied = upkeep::empty(&mut connection, workspace).await?;
    if emptied == 0 {
        upkeep::emptied(&mut connection, workspace).await?;
    }
    // One more, so that the next workspace is looked at.
    Ok(emptied.max(1))
}
