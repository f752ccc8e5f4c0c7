//! Why a workspace has its status, and whether the registry's own work goes on.

use std::sync::Arc;

use candor_kernel::{Causes, Error};
use candor_proto::registry::v1 as pb;

use super::workspaces::shown;
use super::{Call, checks};
use crate::app::App;
use crate::store::decisions;
use crate::store::workspaces::{self, Which};
use crate::wire;

pub(super) async fn explain(
    app: Arc<App>,
    call: Call,
    request: pb::ExplainStatusRequest,
) -> Result<pb::ExplainStatusResponse, Error> {
    let id = wire::workspace_id("id", &request.id)?;
    call.self_or_operator(id)?;
    let limit = match request.limit {
        0 => 20,
        given => i64::from(given).clamp(1, 100),
    };
    let mut connection = app.connection().await?;
    let row = workspaces::show(&mut connection, Which::One(id))
        .await?
        .pop();
    let row = row.ok_or_else(checks::not_found)?;
    let causes: Causes = serde_json::from_value(row.causes.clone()).map_err(Error::internal)?;
    let causes = causes
        .iter()
        .map(|(kind, cause)| pb::StatusCause {
            kind: kind.label().to_owned(),
            evidence: cause.evidence.clone(),
            since: Some(wire::timestamp(cause.since)),
        })
        .collect();
    let decisions = decisions::history(&mut connection, id, limit)
        .await?
        .into_iter()
        .map(|row| pb::StatusDecision {
            at: Some(wire::timestamp(row.at)),
            rule: row.rule,
            from: row
                .from_status
                .as_deref()
                .map_or(pb::WorkspaceStatus::Unspecified, wire::status_label)
                .into(),
            to: wire::status_label(&row.to_status).into(),
            evidence: row.evidence,
            state_version: row.state_version,
            event_id: row.event_id.map(|id| id.to_string()).unwrap_or_default(),
        })
        .collect();
    let (fence_epoch, state_version) = (row.fence_epoch, row.state_version);
    Ok(pb::ExplainStatusResponse {
        workspace: Some(shown(&app, row)?),
        causes,
        decisions,
        fence_epoch,
        state_version,
    })
}

/// When this registry's background work last ran.
pub(super) async fn liveness(
    app: Arc<App>,
    call: Call,
    _: pb::GetLivenessRequest,
) -> Result<pb::GetLivenessResponse, Error> {
    call.operator()?;
    let subsystems = app
        .ticks
        .all()
        .into_iter()
        .map(|(name, at)| pb::Subsystem {
            name: name.to_owned(),
            last_tick_at: Some(wire::timestamp(at)),
        })
        .collect();
    Ok(pb::GetLivenessResponse {
        subsystems,
        server_time: Some(wire::timestamp(chrono::Utc::now())),
    })
}
