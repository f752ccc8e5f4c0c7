//! Get, list, update, and the state an agent polls.

use std::sync::Arc;

use candor_identity::Who;
use candor_kernel::{Error, Reason, Status, WorkspaceId};
use candor_proto::registry::v1 as pb;

use super::{Call, checks, page};
use crate::app::App;
use crate::fields;
use crate::store::update::{self, Changes};
use crate::store::workspaces::{Shown, Which};
use crate::store::{Store, canvas, discovery, state as states, workspaces};
use crate::wire;

pub(super) async fn get(
    app: Arc<App>,
    call: Call,
    request: pb::GetWorkspaceRequest,
) -> Result<pb::Workspace, Error> {
    let id = wire::workspace_id("id", &request.id)?;
    let mut connection = app.connection().await?;
    let row = workspaces::show(&mut connection, Which::One(id))
        .await?
        .pop();
    let workspace = shown(&app, row.ok_or_else(checks::not_found)?)?;
    Ok(if call.self_or_operator(id).is_ok() {
        workspace
    } else {
        public(workspace)
    })
}

/// What everybody may see who may see it at all (contract/workspaces.md,
/// "Workspace object": get-one is stripped).
fn public(workspace: pb::Workspace) -> pb::Workspace {
    pb::Workspace {
        last_sample_error: String::new(),
        current_task: String::new(),
        workspace_dir: None,
        budget_limit: None,
        monthly_spend: 0,
        reasons: Vec::new(),
        ..workspace
    }
}

/// A row as readers see it, with the beats that were refused for it.
pub(super) fn shown(app: &App, row: Shown) -> Result<pb::Workspace, Error> {
    let id = WorkspaceId::from_uuid(row.id);
    let mut workspace = wire::workspace(row, &app.config.leases)?;
    if let Some(rejection) = app.rejected.of(id, chrono::Utc::now()) {
        workspace.rejected_beats = rejection.count;
        workspace.last_rejected_beat = Some(wire::timestamp(rejection.last));
    }
    Ok(workspace)
}

pub(super) async fn list(
    app: Arc<App>,
    call: Call,
    request: pb::ListWorkspacesRequest,
) -> Result<pb::ListWorkspacesResponse, Error> {
    call.operator()?;
    let after = page::read(&request.page_token)?;
    let mut connection = app.connection().await?;
    let rows = workspaces::show(&mut connection, Which::After(after)).await?;
    let full = i64::try_from(rows.len()).is_ok_and(|rows| rows >= workspaces::PAGE);
    let rows = rows.into_iter().map(|row| {
        let cursor = (row.created_at.unwrap_or_default(), row.id);
        Ok((cursor, shown(&app, row)?))
    });
    let (workspaces, next_page_token) = page::cut(rows, full)?;
    Ok(pb::ListWorkspacesResponse {
        workspaces,
        next_page_token,
    })
}

pub(super) async fn state(
    app: Arc<App>,
    call: Call,
    request: pb::GetStateRequest,
) -> Result<pb::GetStateResponse, Error> {
    let id = wire::workspace_id("workspace_id", &request.workspace_id)?;
    let caller = call.principal(Who::OwnWorkspace, id).await?;
    let stale = match caller.workspace() {
        Some(caller) if caller.id == id => caller.stale,
        Some(_) => return Err(candor_identity::call::not_allowed()),
        None if caller.is_operator() => false,
        None => return Err(candor_identity::call::not_allowed()),
    };
    let mut connection = app.connection().await?;
    let loaded = states::load(&mut connection, id).await?;
    let purged = loaded.is_none() && states::is_tombstone(&mut connection, id).await?;
    let status = loaded.as_ref().map(|loaded| loaded.state.status);
    let status = if purged {
        Some(Status::Removed)
    } else {
        status
    };
    Ok(pb::GetStateResponse {
        workspace_id: id.to_string(),
        status: status
            .map_or(pb::WorkspaceStatus::Unspecified, wire::status)
            .into(),
        paused: matches!(status, Some(Status::Paused | Status::Hibernating)),
        deleted: matches!(status, None | Some(Status::Removed)),
        superseded: stale,
        epoch: loaded.map_or(0, |loaded| loaded.state.epoch.0),
    })
}

/// Changes fields, all or nothing (deviations D18, D19, D40).
pub(super) async fn update(
    app: Arc<App>,
    call: Call,
    request: pb::UpdateWorkspaceRequest,
) -> Result<pb::UpdateWorkspaceResponse, Error> {
    let id = wire::workspace_id("id", &request.id)?;
    call.self_or_operator(id)?;
    refuse_sensitive(&call, &request)?;
    let changes = changes(&request)?;
    let mut tx = app.store.begin().await?;
    if let Some(parent) = changes.parent_id {
        update::lock_hierarchy(&mut tx).await?;
        if let Some(parent) = parent {
            let above = discovery::lineage(&mut tx, parent).await?;
            if parent == id || above.contains(&id) {
                return Err(Error::new(
                    Reason::ParentCycle,
                    "parent_id would create a cycle",
                ));
            }
        }
    }
    if !update::apply(&mut tx, id, &changes).await? {
        return Err(checks::not_found());
    }
    if let Some(collapsed) = request.collapsed {
        canvas::set_collapsed(&mut tx, id, collapsed).await?;
    }
    if let Some(position) = &request.position {
        checks_position(position)?;
        canvas::set_position(&mut tx, id, position.x, position.y).await?;
    }
    Store::commit(tx).await?;
    Ok(pb::UpdateWorkspaceResponse {
        status: "updated".to_owned(),
        needs_restart: request.workspace_dir.is_some(),
    })
}

/// A workspace may not change what it is allowed to do (D18).
fn refuse_sensitive(call: &Call, request: &pb::UpdateWorkspaceRequest) -> Result<(), Error> {
    if call.caller.is_operator() {
        return Ok(());
    }
    let touched: Vec<_> = [
        ("tier", request.tier.is_some()),
        ("parent_id", request.parent_id.is_some()),
        ("runtime", request.runtime.is_some()),
        ("workspace_dir", request.workspace_dir.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, there)| there.then_some(name))
    .collect();
    if touched.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Reason::NotAllowed,
        format!("admin credential required for: {}", touched.join(", ")),
    ))
}

fn changes(request: &pb::UpdateWorkspaceRequest) -> Result<Changes<'_>, Error> {
    if let Some(name) = &request.name {
        fields::name("name", name)?;
    }
    let role = request.role.as_ref().map(|role| role.value.as_deref());
    if let Some(Some(role)) = role {
        fields::role(role)?;
    }
    if let Some(runtime) = &request.runtime {
        fields::runtime(runtime)?;
    }
    let dir = request
        .workspace_dir
        .as_ref()
        .map(|dir| dir.value.as_deref());
    if let Some(Some(dir)) = dir {
        fields::directory(dir)?;
    }
    let parent_id = match &request.parent_id {
        None => None,
        Some(pb::OptionalText { value: None }) => Some(None),
        Some(pb::OptionalText { value: Some(text) }) => {
            let id: WorkspaceId = wire::workspace_id("parent_id", text)?;
            Some(Some(id))
        }
    };
    Ok(Changes {
        name: request.name.as_deref(),
        role,
        tier: request.tier,
        parent_id,
        runtime: request.runtime.as_deref(),
        workspace_dir: dir,
    })
}

fn checks_position(position: &pb::CanvasPosition) -> Result<(), Error> {
    if position.x.is_finite() && position.y.is_finite() {
        Ok(())
    } else {
        Err(Error::field("x", "x and y must be finite numbers"))
    }
}
