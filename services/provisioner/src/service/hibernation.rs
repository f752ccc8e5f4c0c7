//! Hibernation that somebody asks for.

use std::sync::Arc;
use std::time::Duration;

use candor_identity::Call;
use candor_kernel::{Error, Reason, Status};
use candor_proto::provisioner::v1 as pb;
use candor_proto::registry::v1 as registry;
use registry::move_workspace_request::Move;
use tokio::time::Instant;

use super::moves::{move_workspace, moves, status, worded};
use super::{LOOK_EVERY, workspace};
use crate::app::App;
use crate::blueprint::blueprint;

/// Longest wait for the end of its instance.
const WITHIN: Duration = Duration::from_secs(30);

/// Answers when it is stopped, or that it is not (deviation D21).
pub(super) async fn hibernate(
    app: Arc<App>,
    call: Call,
    request: pb::HibernateWorkspaceRequest,
) -> Result<pb::HibernateWorkspaceResponse, Error> {
    const REFUSED: &str =
        "workspace not found or not in a hibernatable state (must be online or degraded)";
    let id = workspace("id", &request.id)?;
    call.self_or_operator(id)?;
    let id = id.to_string();
    let refused = || Error::new(Reason::WorkspaceNotFound, REFUSED);
    let known = blueprint(&app, &id)
        .await
        .map_err(|error| worded(error, REFUSED))?;
    if !status(&known.status)?.is_alive() {
        return Err(refused());
    }
    if known.active_tasks > 0 && !request.force {
        let text = "workspace has active tasks; use ?force=true to terminate them";
        let error = Error::new(Reason::ActiveTasks, text);
        return Err(error.with_fact("active_tasks", known.active_tasks.to_string()));
    }
    if known.external || known.backend.is_empty() {
        return Err(Error::new(Reason::NoBackend, "provisioner not available"));
    }
    let wanted = Move::Hibernate(registry::HibernateMove {});
    let moved = moves(&app, &id, wanted, "hibernation requested").await;
    let moved = moved.map_err(|error| match error.reason() {
        Reason::TransitionRefused => refused(),
        _ => error,
    })?;
    is_hibernated(&app, &id, moved.fence_epoch).await?;
    Ok(pb::HibernateWorkspaceResponse {})
}

/// Waits for the real outcome.
async fn is_hibernated(app: &App, id: &str, fence: i64) -> Result<(), Error> {
    let late = Instant::now() + WITHIN;
    loop {
        let settled = app.settled.notified();
        match status(&blueprint(app, id).await?.status)? {
            Status::Hibernating if Instant::now() < late => {}
            Status::Hibernating => break,
            Status::Removed => {
                return Err(Error::new(Reason::WorkspaceNotFound, "workspace not found"));
            }
            Status::Online | Status::Degraded | Status::Offline => return Err(still_runs()),
            // Hibernated; or somebody wanted something else of it since, which nobody may
            // before it is.
            _ => return Ok(()),
        }
        // Whichever comes first: both lead to the next look.
        let _ = tokio::time::timeout(LOOK_EVERY, settled).await;
    }
    // R16: too late is as good as failed. If it ended just now, this moves nothing.
    let wanted = Move::HibernateFailed(registry::HibernateFailedMove {});
    let evidence = "its instance did not end in time";
    let moved = move_workspace(app, id, wanted, Some(fence), evidence).await?;
    match status(&moved.status)? {
        Status::Hibernated => Ok(()),
        _ => Err(still_runs()),
    }
}

fn still_runs() -> Error {
    Error::new(
        Reason::InstanceStillRuns,
        "workspace was not hibernated: its instance could not be stopped",
    )
    .with_retry_after(Duration::from_secs(5))
}
