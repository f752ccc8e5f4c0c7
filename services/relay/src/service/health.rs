//! Whether a workspace's answers count for its health.

use std::sync::Arc;

use candor_identity::Call;
use candor_kernel::{Error, WorkspaceId};
use candor_peers::time::timestamp;
use candor_proto::relay::v1 as pb;

use super::workspace;
use crate::app::App;
use crate::store::targets::{self, Observed};
use crate::target::Target;

pub(super) async fn get(
    app: Arc<App>,
    call: Call,
    request: pb::GetObservationRequest,
) -> Result<pb::Observation, Error> {
    call.operator()?;
    let id = workspace(&request.workspace_id)?;
    let mut connection = app.store.connection().await?;
    let observed = targets::observed(&mut connection, id).await?;
    Ok(shown(&app, id, observed))
}

pub(super) async fn set(
    app: Arc<App>,
    call: Call,
    request: pb::SetObservationRequest,
) -> Result<pb::Observation, Error> {
    call.operator()?;
    let id = workspace(&request.workspace_id)?;
    // There must be one.
    Target::resolve(&app.resolver, id, None).await?;
    let mut connection = app.store.connection().await?;
    let observed = targets::set(&mut connection, id, request.enabled, request.canary).await?;
    Ok(shown(&app, id, observed))
}

fn shown(app: &App, id: WorkspaceId, observed: Observed) -> pb::Observation {
    let (silent, last_answer) = app.health.seen(id);
    pb::Observation {
        enabled: observed.enabled,
        canary: observed.canary,
        silent_calls: i32::try_from(silent).unwrap_or(i32::MAX),
        last_answer_at: last_answer.map(timestamp),
    }
}
