//! Turns the silent offline (rule R10): a level-triggered query, safe on
//! several replicas, without any signal between them.

use std::sync::Arc;
use std::time::Duration;

use candor_kernel::{Error, Occurrence, WorkspaceId, decide};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::store::decisions::{self, Cause};
use crate::store::{Store, state, sweep};

/// Workspaces swept in one transaction, at most.
const PAGE: i64 = 200;
/// Decisions kept for each workspace.
const KEEP_DECISIONS: i64 = 100;
/// Runs until stopped.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let period =
        (app.config.leases.ttl / 4).clamp(Duration::from_millis(100), Duration::from_secs(5));
    let mut trimmed = 0_i64;
    loop {
        tokio::select! {
            () = tokio::time::sleep(period) => {}
            () = stop.cancelled() => return,
        }
        match sweep_all(&app).await {
            Ok(swept) => {
                app.ticks.tick("lease-sweeper");
                if swept > 0 {
                    tracing::info!(swept, "leases ended");
                }
            }
            Err(error) => {
                tracing::warn!(internal = error.internal_text(), "sweeping leases failed")
            }
        }
        match trim(&app, trimmed).await {
            Ok(up_to) => trimmed = up_to,
            Err(error) => tracing::warn!(
                internal = error.internal_text(),
                "trimming decisions failed"
            ),
        }
    }
}

/// Forgets old decisions of the workspaces that got new ones since `from`.
async fn trim(app: &App, mut from: i64) -> Result<i64, Error> {
    let mut connection = app.connection().await?;
    loop {
        let up_to = sweep::trim_decisions(&mut connection, from, KEEP_DECISIONS).await?;
        if up_to == from {
            return Ok(from);
        }
        from = up_to;
    }
}

/// Sweeps until nothing silent is left; returns how many went offline.
async fn sweep_all(app: &App) -> Result<usize, Error> {
    let mut swept = 0;
    loop {
        let leases = &app.config.leases;
        let mut tx = app.store.begin().await?;
        let mut silent = sweep::silent(
            &mut tx,
            leases.grace.as_secs_f64(),
            leases.external_grace.as_secs_f64(),
            PAGE,
        )
        .await?;
        let found = silent.len();
        // Vitals are locked one by one: in the order in which batches lock them.
        silent.sort_unstable();
        let mut changed = 0;
        for id in silent {
            changed += usize::from(end_lease(app, &mut tx, id).await?);
        }
        Store::commit(tx).await?;
        swept += changed;
        if changed > 0 {
            app.events_written.notify_one();
            metrics::counter!("candor_leases_ended_total").increment(changed as u64);
        }
        if found < usize::try_from(PAGE).unwrap_or(usize::MAX) || changed == 0 {
            return Ok(swept);
        }
    }
}

async fn end_lease(app: &App, tx: &mut sqlx::PgConnection, id: WorkspaceId) -> Result<bool, Error> {
    let Some(loaded) = state::load(tx, id).await? else {
        return Ok(false);
    };
    let grace = app.config.leases.grace_of(loaded.state.external);
    if !sweep::is_still_silent(tx, id, grace.as_secs_f64()).await? {
        return Ok(false);
    }
    // Vitals are locked now: what was read before the lock may be older.
    let Some(loaded) = state::load(tx, id).await? else {
        return Ok(false);
    };
    let decision = decide(&loaded.state, &Occurrence::LeaseDead, chrono::Utc::now());
    if decision.next.is_none() {
        return Ok(false);
    }
    let cause = Cause {
        traceparent: None,
        evidence: "no beat within lease and grace".to_owned(),
    };
    decisions::persist(tx, &loaded, &decision, &cause).await
}
