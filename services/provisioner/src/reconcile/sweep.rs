//! Looks at everything that should be as it is, now and then: instances that ended,
//! instances that say that they are wedged, instances that nobody wants.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use candor_kernel::{Epoch, Error};
use candor_proto::registry::v1 as pb;
use pb::move_workspace_request::Move;
use uuid::Uuid;

use super::step::Want;
use super::{orphans, tell};
use crate::app::App;
use crate::backend::{Found, Observed};
use crate::service::provisioner;
use crate::store::instances::{self, Instance};

/// How the reason of a restart begins that the instance itself asked for.
pub(crate) const WEDGED: &str = "wedged";
/// Rows that are looked at at once.
const PAGE: i64 = 500;
/// The first look comes soon after the start.
const FIRST: Duration = Duration::from_secs(1);
/// What a provisioner that has the backend is left beyond the time of a start.
const ELSEWHERE: Duration = Duration::from_secs(60);

/// What each backend has, as far as it could say.
pub(super) type Everything = HashMap<&'static str, Vec<Found>>;

/// Until stopped.
pub(crate) async fn run(app: Arc<App>) {
    let mut pause = FIRST.min(app.config.sweep);
    loop {
        tokio::select! {
            () = app.stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = app.config.sweep;
        if let Err(error) = sweep(&app).await {
            tracing::warn!(
                internal = error.internal_text(),
                "instances cannot be looked at now: {error}"
            );
        }
    }
}

async fn sweep(app: &App) -> Result<(), Error> {
    let mut everything = Everything::new();
    for home in app.backends.homes() {
        let backend = home.backend();
        match backend.list().await {
            Ok(found) => {
                everything.insert(backend.name(), found);
            }
            // It is not set up here, which `candor doctor` says.
            Err(error) if home.runtimes().is_empty() => {
                tracing::debug!(backend = backend.name(), "cannot say what runs: {error}");
            }
            // It does not answer: nothing is known, and nothing follows.
            Err(error) => {
                tracing::warn!(backend = backend.name(), "cannot say what runs: {error}");
                metrics::counter!("candor_provisioner_lists_failed_total", "backend" => backend.name())
                    .increment(1);
            }
        }
    }
    let known = compare(app, &everything).await?;
    orphans::sweep(app, &everything, &known).await?;
    heard(app).await
}

/// Rows whose instance is not as it is wanted are due.
async fn compare(app: &App, everything: &Everything) -> Result<HashSet<Uuid>, Error> {
    let mut known = HashSet::new();
    let mut after = None;
    let mut running = 0_u32;
    loop {
        let mut connection = app.store.connection().await?;
        let rows = instances::page(&mut connection, after, PAGE).await?;
        after = rows.last().map(|row| row.workspace_id);
        let mut due = Vec::new();
        for row in &rows {
            known.insert(row.workspace_id);
            running += u32::from(wants_running(row) && row.called);
            abandoned(app, row).await?;
            let differs = everything
                .get(row.backend.as_str())
                .is_some_and(|found| row.settled && differs(row, found));
            if differs {
                due.push(row.workspace_id);
            }
        }
        if !due.is_empty() {
            instances::wake(&mut connection, &due).await?;
            app.due.notify_one();
        }
        if rows.len() < usize::try_from(PAGE).unwrap_or(0) {
            metrics::gauge!("candor_provisioner_instances").set(f64::from(running));
            return Ok(known);
        }
    }
}

/// A start that nobody can carry out: its backend is not configured here, and whoever has
/// it would have ended this long ago.
async fn abandoned(app: &App, row: &Instance) -> Result<(), Error> {
    let waited = (row.now - row.wanted_at).to_std().unwrap_or_default();
    let elsewhere = app.backend(&row.backend).is_none() && !row.settled;
    if !elsewhere || !wants_running(row) || row.called {
        return Ok(());
    }
    if waited > app.config.longest_start() + ELSEWHERE {
        let timeout = app.config.longest_start().as_secs();
        let late = Move::ProvisionTimeout(pb::ProvisionTimeoutMove {
            error: format!("no provisioner with the backend {} runs", row.backend),
            timeout_secs: i64::try_from(timeout).unwrap_or(i64::MAX),
        });
        tell::registry(app, row.workspace_id, Some(row.epoch), late, "timed out").await?;
    }
    Ok(())
}

fn wants_running(row: &Instance) -> bool {
    row.desired().want == Want::Running
}

fn differs(row: &Instance, found: &[Found]) -> bool {
    let ours = found.iter().find(|one| one.workspace == row.id());
    let runs = ours.is_some_and(|one| one.observed != Observed::NotFound);
    let as_wanted = ours.is_some_and(|one| {
        matches!(&one.observed, Observed::Running { epoch, .. } if *epoch == Epoch(row.epoch))
    });
    match row.desired().want {
        Want::Running => !as_wanted,
        Want::Stopped | Want::Gone(_) => runs,
    }
}

/// Instances that say that they are wedged, where their owners want a restart for it; and
/// those that called after they were given up.
async fn heard(app: &App) -> Result<(), Error> {
    let mut after = String::new();
    loop {
        let page = provisioned(app, after).await?;
        late_callers(app, &page).await?;
        for one in &page {
            if let Some(reason) = &one.wedge_reason {
                let id: Uuid = one.workspace_id.parse().map_err(Error::internal)?;
                ask(app, id, reason).await?;
            }
        }
        match page.last() {
            Some(last) if page.len() >= usize::try_from(PAGE).unwrap_or(0) => {
                after = last.workspace_id.clone();
            }
            _ => return Ok(()),
        }
    }
}

async fn late_callers(app: &App, page: &[pb::Provisioned]) -> Result<(), Error> {
    let called = page.iter().filter(|one| one.epoch == one.fence_epoch);
    let called = called.filter_map(|one| {
        let id = one.workspace_id.parse::<Uuid>().ok()?;
        Some((id, one.epoch))
    });
    let (ids, epochs): (Vec<Uuid>, Vec<i64>) = called.unzip();
    let mut connection = app.store.connection().await?;
    if instances::called_late(&mut connection, &ids, &epochs).await? > 0 {
        app.due.notify_one();
    }
    Ok(())
}

/// A restart for a wedge, if the owner wants one.
pub(super) async fn ask(app: &App, id: Uuid, reason: &str) -> Result<bool, Error> {
    let reason = candor_secrets::redact(&format!("{WEDGED}: {reason}"));
    let mut connection = app.store.connection().await?;
    let asked = instances::ask_for_wedge(&mut connection, id, &reason).await?;
    if asked {
        app.due.notify_one();
    }
    Ok(asked)
}

/// One page of the workspaces that have, or had, instances.
pub(super) async fn provisioned(app: &App, after: String) -> Result<Vec<pb::Provisioned>, Error> {
    let request = pb::ListProvisionedRequest { after };
    let page = app
        .services
        .registry
        .call(&provisioner(), request, |mut c, r| async move {
            c.list_provisioned(r).await
        })
        .await?;
    Ok(page.workspaces)
}
