//! Moves of workspaces, which the registry decides. What it then wants of instances is
//! taken over from its placements, never from here.

use candor_kernel::{Error, ErrorKind, Reason, Status};
use candor_proto::registry::v1 as registry;
use registry::move_workspace_request::Move;

use super::provisioner;
use crate::app::App;
use crate::blueprint::is;

/// Those above and below; `missing` when there is no such workspace.
pub(super) async fn family(
    app: &App,
    id: &str,
    missing: &'static str,
) -> Result<registry::GetFamilyResponse, Error> {
    let request = registry::GetFamilyRequest { id: id.to_owned() };
    let answer = app
        .services
        .registry
        .call(&provisioner(), request, |mut c, r| async move {
            c.get_family(r).await
        })
        .await;
    answer.map_err(|error| worded(error, missing))
}

/// The workspace of a family, if it was not removed.
pub(super) fn own<'a>(
    family: &'a registry::GetFamilyResponse,
    missing: &'static str,
) -> Result<&'a registry::Relative, Error> {
    let own = family.workspace.as_ref();
    own.filter(|one| !is(&one.status, Status::Removed))
        .ok_or_else(|| Error::new(Reason::WorkspaceNotFound, missing))
}

/// What is not there, in the words of a route.
pub(super) fn worded(error: Error, missing: &'static str) -> Error {
    match error.kind() {
        ErrorKind::NotFound => Error::new(Reason::WorkspaceNotFound, missing),
        _ => error,
    }
}

/// Moves one of several: 0 if somebody else was faster, or removed it.
pub(super) async fn try_move(
    app: &App,
    id: &str,
    wanted: Move,
    evidence: &str,
) -> Result<i32, Error> {
    match moves(app, id, wanted, evidence).await {
        Ok(_) => Ok(1),
        Err(error) => match error.reason() {
            Reason::TransitionRefused | Reason::WorkspaceNotFound => Ok(0),
            _ => Err(error),
        },
    }
}

/// Moves one, and lets whoever makes instances look.
pub(super) async fn moves(
    app: &App,
    id: &str,
    wanted: Move,
    evidence: &str,
) -> Result<registry::MoveWorkspaceResponse, Error> {
    move_workspace(app, id, wanted, None, evidence).await
}

/// The same, while the fence is this.
pub(super) async fn move_workspace(
    app: &App,
    id: &str,
    wanted: Move,
    fence_epoch: Option<i64>,
    evidence: &str,
) -> Result<registry::MoveWorkspaceResponse, Error> {
    let request = registry::MoveWorkspaceRequest {
        id: id.to_owned(),
        fence_epoch,
        evidence: evidence.to_owned(),
        r#move: Some(wanted),
    };
    let moved = app
        .services
        .registry
        .call(&provisioner(), request, |mut c, r| async move {
            c.move_workspace(r).await
        })
        .await?;
    app.due.notify_one();
    Ok(moved)
}

/// A status of the registry's.
pub(super) fn status(label: &str) -> Result<Status, Error> {
    label
        .parse()
        .map_err(|_| Error::internal(format_args!("status {label}")))
}
