//! For whoever makes instances: what is wanted, of what it is made, and where it is.

use std::sync::Arc;

use candor_kernel::{CauseKind, Causes, Error};
use candor_peers::time;
use candor_proto::registry::v1 as pb;

use super::{Call, checks};
use crate::app::App;
use crate::store::{Store, blueprint as blueprints, placements, state};
use crate::wire;

/// Backends in one announcement, at most.
const MOST_BACKENDS: usize = 16;

/// What a provisioner can run, for as long as it says so.
pub(super) async fn announce(
    app: Arc<App>,
    call: Call,
    request: pb::AnnounceBackendsRequest,
) -> Result<pb::AnnounceBackendsResponse, Error> {
    call.platform()?;
    if request.backends.len() > MOST_BACKENDS {
        let text = format!("backends: at most {MOST_BACKENDS}");
        return Err(Error::field("backends", text));
    }
    let ttl = request.ttl.and_then(time::span).unwrap_or_default();
    let mut tx = app.store.begin().await?;
    for backend in &request.backends {
        checks::text("backends", &backend.name)?;
        placements::announce(&mut tx, &backend.name, &backend.runtimes, ttl.as_secs_f64()).await?;
    }
    Store::commit(tx).await?;
    Ok(pb::AnnounceBackendsResponse {})
}

/// What nobody has taken over yet.
pub(super) async fn list(
    app: Arc<App>,
    call: Call,
    request: pb::ListPlacementsRequest,
) -> Result<pb::ListPlacementsResponse, Error> {
    call.platform()?;
    let limit = i64::from(request.limit).clamp(1, placements::MOST);
    let mut connection = app.connection().await?;
    let waiting = placements::waiting(&mut connection, limit).await?;
    let placements = waiting.into_iter().map(|one| pb::Placement {
        workspace_id: one.workspace_id.to_string(),
        backend: one.backend,
        want: one.want,
        epoch: one.epoch,
        version: one.version,
        automatic: one.automatic,
        reset_session: one.reset_session,
        template: if one.apply_template {
            one.template
        } else {
            String::new()
        },
    });
    Ok(pb::ListPlacementsResponse {
        placements: placements.collect(),
    })
}

/// A provisioner has written it down.
pub(super) async fn take(
    app: Arc<App>,
    call: Call,
    request: pb::TakePlacementRequest,
) -> Result<pb::TakePlacementResponse, Error> {
    call.platform()?;
    let id = wire::workspace_id("workspace_id", &request.workspace_id)?;
    let mut connection = app.connection().await?;
    placements::take(&mut connection, id, request.version).await?;
    Ok(pb::TakePlacementResponse {})
}

/// What an instance is made of, and how the workspace is.
pub(super) async fn blueprint(
    app: Arc<App>,
    call: Call,
    request: pb::GetBlueprintRequest,
) -> Result<pb::Blueprint, Error> {
    call.platform()?;
    let id = wire::workspace_id("workspace_id", &request.workspace_id)?;
    let mut connection = app.connection().await?;
    let row = blueprints::of(&mut connection, id).await?;
    let row = row.ok_or_else(checks::not_found)?;
    Ok(pb::Blueprint {
        external: row.runtime == "external",
        wedge_reason: wedge_reason(&row.status, row.causes)?,
        name: row.name,
        role: row.role,
        tier: row.tier,
        runtime: row.runtime,
        workspace_dir: row.workspace_dir,
        workspace_access: row.workspace_access,
        awareness_namespace: row.awareness_namespace,
        parent_id: row.parent_id.map(|id| id.to_string()).unwrap_or_default(),
        status: row.status,
        epoch: row.epoch,
        fence_epoch: row.fence_epoch,
        template: row.template,
        model: row.model,
        backend: row.backend.unwrap_or_default(),
        active_tasks: row.active_tasks,
        last_heartbeat_at: row.last_heartbeat_at.map(time::timestamp),
    })
}

/// Those that have, or had, instances.
pub(super) async fn provisioned(
    app: Arc<App>,
    call: Call,
    request: pb::ListProvisionedRequest,
) -> Result<pb::ListProvisionedResponse, Error> {
    call.platform()?;
    let after = match request.after.as_str() {
        "" => None,
        id => Some(wire::workspace_id("after", id)?.as_uuid()),
    };
    let mut connection = app.connection().await?;
    let rows = blueprints::provisioned(&mut connection, after).await?;
    let workspaces = rows.into_iter().map(|row| {
        Ok(pb::Provisioned {
            workspace_id: row.id.to_string(),
            wedge_reason: wedge_reason(&row.status, row.causes)?,
            status: row.status,
            epoch: row.epoch,
            fence_epoch: row.fence_epoch,
            active_tasks: row.active_tasks,
            last_outbound_at: row.last_outbound_at.map(time::timestamp),
            moved: u64::try_from(row.moved).unwrap_or_default(),
            hibernation_idle_minutes: row.hibernation_idle_minutes,
            uptime_seconds: row.uptime_seconds,
        })
    });
    Ok(pb::ListProvisionedResponse {
        workspaces: workspaces.collect::<Result<_, Error>>()?,
    })
}

/// The workspace's own word, while it stands.
fn wedge_reason(status: &str, causes: serde_json::Value) -> Result<Option<String>, Error> {
    if status != candor_kernel::Status::Degraded.label() {
        return Ok(None);
    }
    let causes: Causes = serde_json::from_value(causes).map_err(Error::internal)?;
    let wedged = causes.get(CauseKind::Wedged);
    Ok(wedged.map(|cause| cause.evidence.clone()))
}

/// Where the platform reaches an instance.
pub(super) async fn set_url(
    app: Arc<App>,
    call: Call,
    request: pb::SetInstanceUrlRequest,
) -> Result<pb::SetInstanceUrlResponse, Error> {
    call.platform()?;
    let id = wire::workspace_id("workspace_id", &request.workspace_id)?;
    checks::text("url", &request.url)?;
    let mut tx = app.store.begin().await?;
    // In the order of everybody else: the workspace before its placement.
    state::lock(&mut tx, &[id.as_uuid()]).await?;
    placements::set_url(&mut tx, id, request.epoch, &request.url).await?;
    Store::commit(tx).await?;
    Ok(pb::SetInstanceUrlResponse {})
}
