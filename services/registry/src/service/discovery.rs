//! Who may talk to whom, and where they are (contract/registry.md).

use std::sync::Arc;

use candor_kernel::access::{Lineage, may_talk};
use candor_kernel::{Caller, Error, Reason, Status, WorkspaceId};
use candor_proto::registry::v1 as pb;
use sqlx::PgConnection;

use super::{Call, checks};
use crate::app::App;
use crate::store::discovery;
use crate::store::workspaces::{self, Which};
use crate::wire;

fn not_authorized() -> Error {
    Error::new(
        Reason::NotAllowed,
        "not authorized to discover this workspace",
    )
}

pub(super) async fn discover(
    app: Arc<App>,
    call: Call,
    request: pb::DiscoverRequest,
) -> Result<pb::DiscoverResponse, Error> {
    let target = request.id.parse().map_err(|_| not_authorized())?;
    let asker = asker(&call, &request, target)?;
    let mut connection = app.connection().await?;
    if !allowed(&mut connection, asker, target).await? {
        return Err(not_authorized());
    }
    let row = workspaces::show(&mut connection, Which::One(target))
        .await?
        .pop();
    let row = row.ok_or_else(checks::not_found)?;
    let status: Status = row.status.parse().map_err(Error::internal)?;
    let callable = !matches!(
        status,
        Status::Removed | Status::Paused | Status::Hibernated | Status::Hibernating
    );
    if row.url.is_empty() || !callable {
        // The status goes with the refusal: absence of an address is a fact too.
        return Err(Error::new(Reason::NoAddress, "workspace not available")
            .with_fact("status", status.legacy_label()));
    }
    Ok(pb::DiscoverResponse {
        id: row.id.to_string(),
        name: row.name,
        url: row.url,
    })
}

/// The workspace that asks: the caller itself, or the one a person names.
fn asker(
    call: &Call,
    request: &pb::DiscoverRequest,
    target: WorkspaceId,
) -> Result<WorkspaceId, Error> {
    match (&call.caller, request.caller_id.as_deref()) {
        (Caller::Workspace(caller), None) if !caller.stale => Ok(caller.id),
        (Caller::Workspace(caller), Some(named)) if !caller.stale => {
            if named.parse() == Ok(caller.id) {
                Ok(caller.id)
            } else {
                Err(Error::new(
                    Reason::InvalidCredential,
                    "invalid workspace auth token",
                ))
            }
        }
        (Caller::User { .. } | Caller::System { .. }, Some(named)) => {
            named.parse().map_err(|_| not_authorized())
        }
        (Caller::User { .. } | Caller::System { .. }, None) => {
            Err(Error::field("caller_id", "caller_id is required"))
        }
        // A claim of a row that is not there: it may ask about itself only.
        (Caller::Anonymous, Some(named)) if named.parse() == Ok(target) => Ok(target),
        _ => Err(not_authorized()),
    }
}

async fn allowed(
    connection: &mut PgConnection,
    caller: WorkspaceId,
    target: WorkspaceId,
) -> Result<bool, Error> {
    if caller == target {
        return Ok(true);
    }
    let above_caller = discovery::lineage(connection, caller).await?;
    let above_target = discovery::lineage(connection, target).await?;
    Ok(by_hierarchy(&above_caller, &above_target))
}

/// The rule for two workspaces, each with its ancestors, itself first; empty for
/// one that does not exist.
pub(super) fn by_hierarchy(caller: &[WorkspaceId], target: &[WorkspaceId]) -> bool {
    match (Lineage::of(caller), Lineage::of(target)) {
        (Some(caller), Some(target)) => may_talk(&caller, &target),
        _ => false,
    }
}

pub(super) async fn check_access(
    app: Arc<App>,
    _: Call,
    request: pb::CheckAccessRequest,
) -> Result<pb::CheckAccessResponse, Error> {
    if request.caller_id.is_empty() || request.target_id.is_empty() {
        return Err(Error::field(
            "caller_id",
            "caller_id and target_id are required",
        ));
    }
    // Equal ids are allowed whatever they are (recorded).
    if request.caller_id == request.target_id {
        return Ok(pb::CheckAccessResponse { allowed: true });
    }
    let allowed = match (request.caller_id.parse(), request.target_id.parse()) {
        (Ok(caller), Ok(target)) => {
            let mut connection = app.connection().await?;
            allowed(&mut connection, caller, target).await?
        }
        _ => false,
    };
    Ok(pb::CheckAccessResponse { allowed })
}

pub(super) async fn peers(
    app: Arc<App>,
    call: Call,
    request: pb::ListPeersRequest,
) -> Result<pb::ListPeersResponse, Error> {
    let id = wire::workspace_id("id", &request.id)?;
    call.self_or_operator(id)?;
    let wanted = request
        .q
        .as_deref()
        .unwrap_or_default()
        .trim()
        .to_lowercase();
    let mut connection = app.connection().await?;
    let rows = discovery::peers(&mut connection, id)
        .await?
        .ok_or_else(checks::not_found)?;
    let matches = |text: &str| text.to_lowercase().contains(&wanted);
    let peers = rows
        .into_iter()
        .filter(|row| matches(&row.name) || row.role.as_deref().is_some_and(matches))
        .map(|row| pb::Peer {
            id: row.id.to_string(),
            name: row.name,
            role: row.role,
            tier: row.tier,
            status: wire::status_label(&row.status).into(),
            agent_card: row.agent_card,
            url: row.url,
            parent_id: row.parent_id.map(|id| id.to_string()),
            active_tasks: row.active_tasks,
        })
        .collect();
    Ok(pb::ListPeersResponse { peers })
}
