//! Restart, pause, resume, and failures of a start-up (contract/workspaces.md).

use std::collections::HashSet;
use std::sync::Arc;

use candor_identity::Call;
use candor_kernel::{Error, Reason, Status};
use candor_proto::provisioner::v1 as pb;
use candor_proto::registry::v1 as registry;
use registry::move_workspace_request::Move;

use super::moves::{family, moves, own, try_move};
use super::workspace;
use crate::app::App;
use crate::blueprint::{blueprint, is};
use crate::templates::choose_template;

/// Bytes of a log's end that are kept (contract/workspaces.md, "bootstrap-failed").
const MOST_TAIL: usize = 8192;
/// What stands above a log's end that was cut.
const CUT: &str = "...(truncated)...\n";
/// The label of a configuration that stays.
const KEPT: &str = "existing-volume";

pub(super) async fn restart(
    app: Arc<App>,
    call: Call,
    request: pb::RestartWorkspaceRequest,
) -> Result<pb::RestartWorkspaceResponse, Error> {
    let id = workspace("id", &request.id)?;
    call.self_or_operator(id)?;
    let id = id.to_string();
    let family = family(&app, &id, "workspace not found").await?;
    let own = own(&family, "workspace not found")?;
    if own.external {
        return Err(Error::new(
            Reason::TransitionRefused,
            "external workspaces cannot be restarted by the platform",
        ));
    }
    no_ancestor_is_paused(&family)?;
    let template = match asks_for_template(&request) {
        true => {
            let blueprint = blueprint(&app, &id).await?;
            choose_template(&app, &blueprint, &request, call.operator().is_ok())?
        }
        false => None,
    };
    let wanted = Move::Restart(registry::RestartMove {
        automatic: false,
        reset_session: request.reset,
        template: template.clone().unwrap_or_default(),
    });
    let moved = moves(&app, &id, wanted, "restart requested").await?;
    Ok(pb::RestartWorkspaceResponse {
        config_dir: template.unwrap_or_else(|| KEPT.to_owned()),
        reset_session: request.reset,
        status: moved.status,
    })
}

const fn asks_for_template(request: &pb::RestartWorkspaceRequest) -> bool {
    !request.template.is_empty() || request.apply_template || request.rebuild_config
}

/// The workspace and those below it that run: the lowest first, so that what a crash
/// left undone is still found by the next try.
pub(super) async fn pause(
    app: Arc<App>,
    call: Call,
    request: pb::PauseWorkspaceRequest,
) -> Result<pb::PauseWorkspaceResponse, Error> {
    const REFUSED: &str = "workspace not found or already paused";
    let id = workspace("id", &request.id)?;
    call.self_or_operator(id)?;
    let id = id.to_string();
    let family = family(&app, &id, REFUSED).await?;
    let root = own(&family, REFUSED)?;
    if is(&root.status, Status::Paused) {
        return Err(Error::new(Reason::WorkspaceNotFound, REFUSED));
    }
    let below = reached(&family, |status| !is(status, Status::Paused));
    let pause = || Move::Pause(registry::PauseMove {});
    let mut paused = 0;
    for one in below.iter().rev() {
        // One that is just being hibernated stops by itself, and is not woken below a
        // paused one.
        if !is(&one.status, Status::Hibernating) {
            paused += try_move(&app, &one.id, pause(), "paused with its parent").await?;
        }
    }
    moves(&app, &id, pause(), "pause requested").await?;
    Ok(pb::PauseWorkspaceResponse {
        paused_count: paused + 1,
    })
}

/// The workspace and those below it that were paused.
pub(super) async fn resume(
    app: Arc<App>,
    call: Call,
    request: pb::ResumeWorkspaceRequest,
) -> Result<pb::ResumeWorkspaceResponse, Error> {
    const REFUSED: &str = "workspace not found or not paused";
    let id = workspace("id", &request.id)?;
    call.self_or_operator(id)?;
    let id = id.to_string();
    let family = family(&app, &id, REFUSED).await?;
    let root = own(&family, REFUSED)?;
    if !is(&root.status, Status::Paused) && !is(&root.status, Status::Hibernated) {
        return Err(Error::new(Reason::WorkspaceNotFound, REFUSED));
    }
    no_ancestor_is_paused(&family)?;
    let below = match is(&root.status, Status::Paused) {
        true => reached(&family, |status| is(status, Status::Paused)),
        false => Vec::new(),
    };
    let resume = || Move::Resume(registry::ResumeMove::default());
    let mut resumed = 0;
    for one in below.iter().rev() {
        resumed += try_move(&app, &one.id, resume(), "resumed with its parent").await?;
    }
    moves(&app, &id, resume(), "resume requested").await?;
    Ok(pb::ResumeWorkspaceResponse {
        resumed_count: resumed + 1,
    })
}

pub(super) async fn bootstrap_failed(
    app: Arc<App>,
    call: Call,
    request: pb::ReportBootstrapFailureRequest,
) -> Result<pb::ReportBootstrapFailureResponse, Error> {
    call.operator()?;
    let id = workspace("id", &request.id)?.to_string();
    let error = match request.error.trim() {
        "" => "bootstrap failed — see log_tail",
        error => error,
    };
    let wanted = Move::BootstrapFailed(registry::BootstrapFailedMove {
        error: error.to_owned(),
        log_tail: tail(request.log_tail),
    });
    let moved = moves(&app, &id, wanted, "its start-up failed").await?;
    Ok(pb::ReportBootstrapFailureResponse {
        no_change: moved.rule.is_empty(),
    })
}

/// The end of a log.
fn tail(log: String) -> String {
    if log.len() <= MOST_TAIL {
        return log;
    }
    let from = log.ceil_char_boundary(log.len() - MOST_TAIL);
    format!("{CUT}{}", &log[from..])
}

/// Those below a workspace that are reached through ones of which this is true, nearest
/// first.
fn reached(
    family: &registry::GetFamilyResponse,
    goes_on: impl Fn(&str) -> bool,
) -> Vec<&registry::Relative> {
    let root = family.workspace.iter();
    let mut open: HashSet<&str> = root.map(|one| one.id.as_str()).collect();
    let mut reached = Vec::new();
    for one in &family.descendants {
        if open.contains(one.parent_id.as_str()) && goes_on(&one.status) {
            open.insert(&one.id);
            reached.push(one);
        }
    }
    reached
}

fn no_ancestor_is_paused(family: &registry::GetFamilyResponse) -> Result<(), Error> {
    let paused = |one: &&registry::Relative| is(&one.status, Status::Paused);
    match family.ancestors.iter().find(paused) {
        None => Ok(()),
        Some(one) => Err(Error::new(
            Reason::TransitionRefused,
            format!(
                "parent workspace \"{}\" is paused — resume it first",
                one.name
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(id: &str, parent: &str, status: &str) -> registry::Relative {
        registry::Relative {
            id: id.to_owned(),
            parent_id: parent.to_owned(),
            status: status.to_owned(),
            ..registry::Relative::default()
        }
    }

    #[test]
    fn a_log_is_cut_at_its_beginning_and_between_characters() {
        assert_eq!(tail("short".to_owned()), "short");
        let cut = tail(format!("a{}", "é".repeat(4096)));
        assert_eq!(cut, format!("{CUT}{}", "é".repeat(4096)));
        let cut = tail(format!("{}b", "é".repeat(4096)));
        assert_eq!(cut, format!("{CUT}{}b", "é".repeat(4095)));
    }

    #[test]
    fn what_is_paused_ends_a_branch() {
        let family = registry::GetFamilyResponse {
            workspace: Some(one("root", "", "online")),
            ancestors: Vec::new(),
            descendants: vec![
                one("a", "root", "online"),
                one("b", "root", "paused"),
                one("a1", "a", "failed"),
                one("b1", "b", "online"),
            ],
        };
        let names = |goes_on: fn(&str) -> bool| -> Vec<String> {
            let reached = reached(&family, goes_on);
            reached.iter().map(|one| one.id.clone()).collect()
        };
        assert_eq!(names(|status| status != "paused"), ["a", "a1"]);
        assert_eq!(names(|status| status == "paused"), ["b"]);
    }
}
