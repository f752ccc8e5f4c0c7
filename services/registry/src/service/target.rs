//! What the relay must know of a workspace before it sends a message, and what it
//! tells of who sent one.

use std::sync::Arc;

use candor_kernel::{CauseKind, Error, RuntimeMetadata, Status, WorkspaceId};
use candor_proto::registry::v1 as pb;

use super::discovery::by_hierarchy;
use super::{Call, checks};
use crate::app::App;
use crate::store::target::{self, Asked, TargetRow};
use crate::wire;

/// Workspaces that are resolved at once, at most.
const MOST_RESOLVED: usize = 256;
/// Workspaces in one note, at most.
const MOST_NOTED: usize = 1000;

/// Who asks to send: the hierarchy is looked at for workspaces alone, and no
/// further than it must be.
enum Asker {
    /// No workspace, or the target itself.
    Free,
    /// A workspace, if there is one of this id.
    Workspace(WorkspaceId),
    /// What it calls itself names no workspace.
    Nobody,
}

impl Asker {
    fn of(caller_id: &str, target: WorkspaceId) -> Self {
        if caller_id.is_empty() {
            return Self::Free;
        }
        match caller_id.parse() {
            Ok(id) if id == target => Self::Free,
            Ok(id) => Self::Workspace(id),
            Err(_) => Self::Nobody,
        }
    }

    /// May it send, by the hierarchy? `row` is none for a target that never was.
    fn may_call(&self, row: Option<&TargetRow>) -> bool {
        match self {
            Self::Free => true,
            Self::Workspace(_) => {
                row.is_some_and(|row| by_hierarchy(&row.caller_line, &row.target_line))
            }
            Self::Nobody => false,
        }
    }
}

/// One statement answers all of it, the hierarchy too.
pub(super) async fn resolve(
    app: Arc<App>,
    call: Call,
    request: pb::ResolveTargetRequest,
) -> Result<pb::Target, Error> {
    call.platform()?;
    let mut answers = answers(&app, &[request]).await?;
    match answers.pop() {
        Some(Ok(target)) => Ok(target),
        // The hierarchy is asked before the address: who may not call learns no more.
        Some(Err(pb::TargetNotFound { may_call: false })) => {
            Err(checks::not_found().with_fact("may_call", "false"))
        }
        _ => Err(checks::not_found()),
    }
}

/// The same for several.
pub(super) async fn resolve_all(
    app: Arc<App>,
    call: Call,
    request: pb::ResolveTargetsRequest,
) -> Result<pb::ResolveTargetsResponse, Error> {
    use pb::resolved_target::Answer;
    call.platform()?;
    if request.targets.len() > MOST_RESOLVED {
        let text = format!("targets: at most {MOST_RESOLVED}");
        return Err(Error::field("targets", text));
    }
    let answers = answers(&app, &request.targets).await?.into_iter();
    let targets = answers.map(|answer| pb::ResolvedTarget {
        answer: Some(match answer {
            Ok(target) => Answer::Target(target),
            Err(not_found) => Answer::NotFound(not_found),
        }),
    });
    Ok(pb::ResolveTargetsResponse {
        targets: targets.collect(),
    })
}

type Resolved = Result<pb::Target, pb::TargetNotFound>;

async fn answers(app: &App, asked: &[pb::ResolveTargetRequest]) -> Result<Vec<Resolved>, Error> {
    let mut askers = Vec::with_capacity(asked.len());
    let mut wanted = Vec::with_capacity(asked.len());
    for one in asked {
        let id = wire::workspace_id("workspace_id", &one.workspace_id)?;
        let asker = Asker::of(&one.caller_id, id);
        let caller = match asker {
            Asker::Workspace(caller) => Some(caller),
            Asker::Free | Asker::Nobody => None,
        };
        wanted.push(Asked { id, caller });
        askers.push(asker);
    }
    let mut connection = app.for_targets().await?;
    let rows = target::resolve(&mut connection, &wanted).await?;
    drop(connection);
    let answers = askers.iter().zip(rows).map(|(asker, row)| {
        let may_call = asker.may_call(row.as_ref());
        // Nobody calls what was removed (D49).
        row.filter(|row| row.status != Status::Removed)
            .map(|row| shown(row, may_call))
            .ok_or(pb::TargetNotFound { may_call })
    });
    Ok(answers.collect())
}

fn shown(row: TargetRow, may_call: bool) -> pb::Target {
    let wedged = row.causes.get(CauseKind::Wedged);
    let metadata = row.runtime_metadata.as_ref();
    let idle_timeout = metadata.and_then(RuntimeMetadata::idle_timeout);
    pb::Target {
        may_call,
        over_budget: row
            .budget_limit
            .is_some_and(|limit| row.monthly_spend >= limit),
        wedge_reason: wedged.map(|cause| cause.evidence.clone()),
        unresponsive: row.causes.contains(CauseKind::Unresponsive),
        native_session: metadata.is_some_and(RuntimeMetadata::keeps_queue),
        idle_timeout: idle_timeout.map(wire::duration),
        polls: row.delivery_mode == "poll" && row.url.is_empty(),
        name: row.name,
        url: row.url,
        status: row.status.label().to_owned(),
        epoch: row.epoch,
        active_tasks: row.active_tasks,
        max_concurrent_tasks: row.max_concurrent_tasks,
        agent_card: row.agent_card.unwrap_or_default(),
        runtime: row.runtime,
    }
}

/// These workspaces just sent messages that were answered.
pub(super) async fn note_outbound(
    app: Arc<App>,
    call: Call,
    request: pb::NoteOutboundRequest,
) -> Result<pb::NoteOutboundResponse, Error> {
    call.platform()?;
    if request.workspace_ids.len() > MOST_NOTED {
        return Err(Error::field(
            "workspace_ids",
            format!("workspace_ids: at most {MOST_NOTED}"),
        ));
    }
    let ids = request
        .workspace_ids
        .iter()
        .map(|id| Ok(wire::workspace_id("workspace_ids", id)?.as_uuid()))
        .collect::<Result<Vec<_>, Error>>()?;
    if !ids.is_empty() {
        target::note_outbound(&mut *app.connection().await?, &ids).await?;
    }
    Ok(pb::NoteOutboundResponse {})
}
