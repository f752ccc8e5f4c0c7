//! The task that reports intents whose process ended, and forgets what is over.

use std::sync::Arc;
use std::time::Duration;

use candor_kernel::Error;
use candor_process::pool::store_error;
use prost::Message as _;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::record;
use crate::store::outbox::{self, Kind};
use crate::store::{commit, delegations, entries, intents};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long a relay may not be seen before its intents are reported, in seconds.
const GRACE: f64 = 60.0;
/// Rows of one batch.
const PAGE: i64 = 100;
/// What was settled is kept for so many days.
const DAYS: i32 = 7;

/// Runs until stopped.
pub(crate) async fn run(app: Arc<App>, stop: CancellationToken) {
    let forever = async {
        loop {
            if let Err(error) = turn_in_time(&app).await {
                tracing::warn!(
                    internal = error.internal_text(),
                    "upkeep of the relay failed, it is tried again: {error}"
                );
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    stop.run_until_cancelled(forever).await;
}

/// Longest turn.
const DEADLINE: Duration = Duration::from_secs(20);

async fn turn_in_time(app: &App) -> Result<(), Error> {
    tokio::time::timeout(DEADLINE, turn(app))
        .await
        .unwrap_or_else(|_| Err(Error::store_unavailable("the upkeep took too long")))
}

async fn turn(app: &App) -> Result<(), Error> {
    intents::beat(&mut *app.store.connection().await?, app.me)
        .await
        .map_err(store_error)?;
    while report_overdue(app).await? {}
    let mut connection = app.store.connection().await?;
    while entries::forget(&mut connection, DAYS, PAGE).await? > 0 {}
    while delegations::forget(&mut connection, DAYS, PAGE).await? > 0 {}
    Ok(())
}

/// Reports a page of intents that nobody settled; true if there may be more.
async fn report_overdue(app: &App) -> Result<bool, Error> {
    let mut tx = app.store.begin().await?;
    let overdue = intents::take_overdue(&mut tx, GRACE, PAGE)
        .await
        .map_err(store_error)?;
    if overdue.is_empty() {
        return Ok(false);
    }
    let mut parcels = Vec::with_capacity(overdue.len());
    for intent in &overdue {
        match record::outcome_unknown(&intent.activity) {
            Ok(item) => parcels.push((Kind::Activity, item.encode_to_vec())),
            Err(error) => tracing::error!(id = %intent.id, %error, "an intent cannot be read"),
        }
    }
    outbox::push(&mut tx, &parcels).await?;
    commit(tx).await?;
    metrics::counter!("candor_relay_outcomes_unknown_total")
        .increment(u64::try_from(overdue.len()).unwrap_or_default());
    app.bell.ring();
    Ok(true)
}
