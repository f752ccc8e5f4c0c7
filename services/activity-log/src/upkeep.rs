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
    let forever = async {
        loop {
            turn(&app, days).await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    stop.run_until_cancelled(forever).await;
}

/// Each job once; one that fails is tried again next time, and keeps no other.
async fn turn(app: &App, days: i32) {
    let reaped = metrics::counter!("candor_activity_reaped_total");
    let emptied = metrics::counter!("candor_activity_emptied_total");
    let expired = metrics::counter!("candor_activity_expired_total");
    let outcomes = [
        ("overdue intents", batches(&reaped, || reap(app)).await),
        ("purged workspaces", empty(app, &emptied).await),
        (
            "old rows",
            batches(&expired, || delete_old(app, days)).await,
        ),
    ];
    for (job, outcome) in outcomes {
        if let Err(error) = outcome {
            tracing::warn!(
                job,
                internal = error.internal_text(),
                "upkeep of the activity log failed, it is tried again"
            );
        }
    }
}

/// Repeats a batch until one does nothing.
async fn batches<F>(counter: &Counter, batch: impl Fn() -> F) -> Result<(), Error>
where
    F: Future<Output = Result<u64, Error>>,
{
    loop {
        let changed = within(batch()).await?;
        counter.increment(changed);
        if changed == 0 {
            return Ok(());
        }
        tokio::time::sleep(BREATHE).await;
    }
}

async fn within<T>(batch: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(DEADLINE, batch)
        .await
        .unwrap_or_else(|_| Err(Error::store_unavailable("a batch of upkeep took too long")))
}

async fn delete_old(app: &App, days: i32) -> Result<u64, Error> {
    let mut connection = app.store.connection().await?;
    upkeep::delete_old(&mut connection, days).await
}

async fn reap(app: &App) -> Result<u64, Error> {
    let mut connection = app.store.connection().await?;
    if !upkeep::is_any_overdue(&mut connection).await? {
        return Ok(0);
    }
    let mut tx = connection.begin().await.map_err(store_error)?;
    // The end of the log first, then rows: the order in which batches lock them.
    write::draw(&mut tx, 0).await.map_err(store_error)?;
    let ids = upkeep::overdue(&mut tx).await?;
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

/// Empties the rows of purged workspaces, one after the other.
async fn empty(app: &App, emptied: &Counter) -> Result<(), Error> {
    loop {
        let mut connection = app.store.connection().await?;
        let Some(workspace) = within(upkeep::purged(&mut connection)).await? else {
            return Ok(());
        };
        let mut place = None;
        loop {
            let batch = within(upkeep::empty(&mut connection, workspace, place)).await?;
            emptied.increment(batch.emptied);
            place = batch.last;
            if place.is_none() {
                break;
            }
            tokio::time::sleep(BREATHE).await;
        }
        within(upkeep::emptied(&mut connection, workspace)).await?;
    }
}
