//! Stops workspaces that have had nothing to do for as long as their owners allow
//! (rule R16). A beat is no work: what counts is tasks, turns, calls to others, and
//! messages from anybody.

use std::sync::Arc;
use std::time::Duration;

use candor_kernel::{Error, Status};
use candor_peers::time::datetime;
use candor_proto::activity::v1 as activity;
use candor_proto::registry::v1 as pb;
use chrono::{DateTime, Utc};
use pb::move_workspace_request::Move;
use uuid::Uuid;

use super::sweep::provisioned;
use super::tell::{self, Told};
use crate::app::App;
use crate::service::provisioner;
use crate::store::idleness::{self, Idle};

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(30);
/// Workspaces on one page.
const PAGE: usize = 500;

/// Until stopped.
pub(crate) async fn run(app: Arc<App>) {
    let look = LOOK.min(app.config.sweep);
    loop {
        tokio::select! {
            () = app.stop.cancelled() => return,
            () = tokio::time::sleep(look) => {}
        }
        if let Err(error) = sweep(&app).await {
            tracing::warn!(
                internal = error.internal_text(),
                "idle workspaces cannot be looked for now: {error}"
            );
        }
    }
}

async fn sweep(app: &App) -> Result<(), Error> {
    let mut after = String::new();
    loop {
        let page = provisioned(app, after).await?;
        for one in &page {
            consider(app, one).await?;
        }
        match page.last() {
            Some(last) if page.len() >= PAGE => after = last.workspace_id.clone(),
            _ => return Ok(()),
        }
    }
}

async fn consider(app: &App, one: &pb::Provisioned) -> Result<(), Error> {
    let id: Uuid = one.workspace_id.parse().map_err(Error::internal)?;
    let mut connection = app.store.connection().await?;
    let alive = one.status.parse().is_ok_and(Status::is_alive);
    if !alive || one.active_tasks > 0 {
        return idleness::forget(&mut connection, id).await;
    }
    let idle = idleness::note(&mut connection, id, &seen(one)).await?;
    let Some(since) = due(one, &idle) else {
        return Ok(());
    };
    drop(connection);
    if heard_since(app, &one.workspace_id, since).await? {
        let mut connection = app.store.connection().await?;
        return idleness::forget(&mut connection, id).await;
    }
    let hibernate = Move::Hibernate(pb::HibernateMove {});
    let evidence = format!("nothing to do since {}", since.to_rfc3339());
    match tell::registry(app, id, Some(one.fence_epoch), hibernate, &evidence).await? {
        Told::Moved => {
            tracing::info!(workspace = %id, %evidence, "hibernates");
            app.due.notify_one();
        }
        Told::Unchanged | Told::Refused(_) => {}
    }
    Ok(())
}

/// What changes when a workspace works: another instance, turns, calls to others.
fn seen(one: &pb::Provisioned) -> String {
    let outbound = one.last_outbound_at.as_ref();
    let outbound = outbound.map_or(0, |at| at.seconds);
    format!("{}/{}/{outbound}", one.epoch, one.moved)
}

/// Since when it has had nothing to do, if that is long enough.
fn due(one: &pb::Provisioned, idle: &Idle) -> Option<DateTime<Utc>> {
    let minutes = u64::try_from(one.hibernation_idle_minutes).unwrap_or(0);
    let legacy = (minutes > 0).then(|| Duration::from_secs(minutes * 60));
    let own = idle
        .hibernate_after
        .and_then(|seconds| u64::try_from(seconds).ok());
    let after = own.map(Duration::from_secs).or(legacy)?;
    let idle_for = (idle.now - idle.since).to_std().unwrap_or_default();
    (idle_for >= after).then_some(idle.since)
}

/// Whether anybody said anything to it, or it to anybody, since then.
async fn heard_since(app: &App, id: &str, since: DateTime<Utc>) -> Result<bool, Error> {
    let request = activity::ListRequest {
        workspace_id: id.to_owned(),
        limit: 1,
        ..activity::ListRequest::default()
    };
    let listed = app
        .services
        .activity
        .call(&provisioner(), request, |mut c, r| async move {
            c.list(r).await
        })
        .await?;
    let newest = listed.activities.first();
    let at = newest
        .and_then(|row| row.created_at.as_ref())
        .and_then(datetime);
    Ok(at.is_some_and(|at| at > since))
}
