//! Moves along the status table that whoever runs instances asks for (rules R10, R11,
//! R13 to R16; design sections 4 and 5).

use std::sync::Arc;
use std::time::Duration;

use candor_kernel::decision::Profile;
use candor_kernel::rules::RuleId;
use candor_kernel::{
    Decision, Error, Occurrence, Outcome, Reason, Status, WorkspaceId, WorkspaceState, decide,
};
use candor_proto::registry::v1 as pb;
use candor_secrets::redact;
use pb::move_workspace_request::Move;

use super::{Call, checks};
use crate::app::App;
use crate::store::decisions::{self, Cause};
use crate::store::lifecycle::{self, Effects};
use crate::store::placements::{self, Ending, Wanted};
use crate::store::state::{self, Loaded};
use crate::store::{Store, Tx};
use crate::wire;

/// Times a decision is made again because somebody else was faster.
const MOST_ATTEMPTS: u8 = 5;
/// Bytes of a failure that are kept as the workspace's last error.
const MOST_ERROR: usize = 8192;

/// Decides and writes one move.
pub(super) async fn step(
    app: Arc<App>,
    call: Call,
    request: pb::MoveWorkspaceRequest,
) -> Result<pb::MoveWorkspaceResponse, Error> {
    call.platform()?;
    let id = wire::workspace_id("id", &request.id)?;
    let wanted = request
        .r#move
        .ok_or_else(|| Error::field("move", "which move is wanted is not said"))?;
    check(&wanted)?;
    let wanted = &without_secrets(wanted);
    checks::text("evidence", &request.evidence)?;
    let cause = Cause {
        traceparent: call.traceparent,
        evidence: decisions::evidence(Some(&request.evidence)),
    };
    for _ in 0..MOST_ATTEMPTS {
        if let Some(answer) = attempt(&app, id, wanted, request.fence_epoch, &cause).await? {
            return Ok(answer);
        }
    }
    Err(Error::new(
        Reason::Contention,
        "the workspace changes too often right now — retry shortly",
    )
    .with_retry_after(Duration::from_secs(1)))
}

/// Texts that no column can hold are refused before anything is decided.
fn check(wanted: &Move) -> Result<(), Error> {
    match wanted {
        Move::StartFailed(failed) => {
            checks::text("error", &failed.error)?;
            failed
                .missing
                .iter()
                .try_for_each(|name| checks::text("missing", name))
        }
        Move::ProvisionTimeout(late) => checks::text("error", &late.error),
        Move::BootstrapFailed(failed) => {
            checks::text("error", &failed.error)?;
            checks::text("log_tail", &failed.log_tail)
        }
        Move::InstanceGone(gone) => checks::text("error", &gone.error),
        Move::Restart(restart) => checks::text("template", &restart.template),
        _ => Ok(()),
    }
}

/// An instance's last words are shown to everybody: what looks like a secret is not.
fn without_secrets(mut wanted: Move) -> Move {
    match &mut wanted {
        Move::StartFailed(failed) => failed.error = redact(&failed.error),
        Move::ProvisionTimeout(late) => late.error = redact(&late.error),
        Move::InstanceGone(gone) => gone.error = redact(&gone.error),
        Move::BootstrapFailed(failed) => {
            failed.error = redact(&failed.error);
            failed.log_tail = redact(&failed.log_tail);
        }
        _ => {}
    }
    wanted
}

/// None if somebody changed the workspace between the look and the write.
async fn attempt(
    app: &App,
    id: WorkspaceId,
    wanted: &Move,
    fence: Option<i64>,
    cause: &Cause,
) -> Result<Option<pb::MoveWorkspaceResponse>, Error> {
    let mut tx = app.store.begin().await?;
    let before = state::load(&mut tx, id).await?;
    let before = before.ok_or_else(checks::not_found)?;
    if fence.is_some_and(|fence| fence != before.state.fence_epoch.0) {
        return Ok(Some(unchanged(&before)));
    }
    if is_overtaken(wanted, before.state.status) {
        return Ok(Some(unchanged(&before)));
    }
    let runtime = lifecycle::runtime(&mut tx, id).await?;
    let backend = placements::backend_for(&mut tx, &runtime).await?;
    if waits_for_backend(wanted) && backend.is_none() && placements::is_placed(&mut tx, id).await? {
        return Err(Error::new(Reason::NoBackend, "provisioner not available"));
    }
    let decision = decide(
        &before.state,
        &occurrence(wanted, &before, &runtime, backend.is_some()),
        chrono::Utc::now(),
    );
    match &decision.outcome {
        Outcome::Applied => {}
        Outcome::Removed | Outcome::Stale => return Err(checks::not_found()),
        Outcome::Refused(error) => return Err(error.clone()),
    }
    if decision.next.is_none() || decision.rule == RuleId::Steady {
        return Ok(Some(unchanged(&before)));
    }
    let change = Change {
        before: &before,
        decision: &decision,
        wanted,
        backend: backend.as_deref(),
    };
    write(app, tx, &change, cause).await
}

/// A wake of what a backend ran: while none is known, nobody would start it, and it would
/// wait for an agent that never comes.
fn waits_for_backend(wanted: &Move) -> bool {
    matches!(wanted, Move::Resume(resume) if resume.needs_backend)
}

/// A restart that nobody asked for brings nothing back that was stopped meanwhile.
fn is_overtaken(wanted: &Move, now: Status) -> bool {
    let automatic = matches!(wanted, Move::Restart(restart) if restart.automatic);
    let stopped = matches!(
        now,
        Status::Paused | Status::Hibernated | Status::Hibernating
    );
    automatic && stopped
}

/// A move that was decided and is to be written.
struct Change<'a> {
    before: &'a Loaded,
    decision: &'a Decision,
    wanted: &'a Move,
    /// Who can run the workspace now.
    backend: Option<&'a str>,
}

async fn write(
    app: &App,
    mut tx: Tx,
    change: &Change<'_>,
    cause: &Cause,
) -> Result<Option<pb::MoveWorkspaceResponse>, Error> {
    let Change {
        before, decision, ..
    } = change;
    let Some(next) = &decision.next else {
        return Ok(Some(unchanged(before)));
    };
    if !decisions::persist(&mut tx, before, decision, cause).await? {
        return Ok(None);
    }
    let effects = effects(change.wanted, before, next.status);
    lifecycle::apply(&mut tx, before.id, &effects).await?;
    place(&mut tx, change, next).await?;
    Store::commit(tx).await?;
    app.events_written.notify_one();
    Ok(Some(pb::MoveWorkspaceResponse {
        previous_status: before.state.status.label().to_owned(),
        status: next.status.label().to_owned(),
        rule: decision.rule.code().to_owned(),
        epoch: next.epoch.0,
        fence_epoch: next.fence_epoch.0,
    }))
}

/// What the new state wants of the workspace's instance, for whoever makes it.
async fn place(tx: &mut Tx, change: &Change<'_>, next: &WorkspaceState) -> Result<(), Error> {
    let id = change.before.id;
    match (next.status, change.backend) {
        (Status::Provisioning, Some(backend)) => {
            let mut wanted = Wanted {
                id,
                backend,
                epoch: next.fence_epoch.0,
                automatic: false,
                reset_session: false,
                template: None,
                model: None,
            };
            if let Move::Restart(restart) = change.wanted {
                wanted.automatic = restart.automatic;
                wanted.reset_session = restart.reset_session;
                wanted.template = Some(restart.template.as_str()).filter(|name| !name.is_empty());
            }
            placements::want_running(tx, &wanted).await
        }
        (Status::Paused | Status::Hibernating, _) => {
            placements::end(tx, &[id.as_uuid()], Ending::Stopped).await
        }
        (Status::Online | Status::Degraded, _) => placements::keep_running(tx, id).await,
        _ => Ok(()),
    }
}

fn occurrence<'a>(
    wanted: &'a Move,
    before: &'a Loaded,
    runtime: &'a str,
    backend: bool,
) -> Occurrence<'a> {
    let profile = Profile {
        name: &before.name,
        tier: before.tier,
        runtime,
    };
    match wanted {
        Move::Restart(_) => Occurrence::RestartRequested { profile, backend },
        Move::Pause(_) => Occurrence::PauseRequested { name: &before.name },
        Move::Resume(_) => Occurrence::ResumeRequested { profile, backend },
        Move::Hibernate(_) => Occurrence::HibernateRequested,
        Move::Hibernated(_) => Occurrence::Hibernated {
            name: &before.name,
            tier: before.tier,
        },
        Move::HibernateFailed(_) => Occurrence::HibernateFailed,
        Move::StartFailed(failed) => Occurrence::StartFailed {
            error: &failed.error,
            missing: &failed.missing,
        },
        Move::ProvisionTimeout(late) => Occurrence::ProvisionTimeout {
            error: &late.error,
            runtime,
            timeout_secs: late.timeout_secs,
        },
        Move::BootstrapFailed(failed) => Occurrence::BootstrapFailed {
            error: &failed.error,
            log_tail: &failed.log_tail,
        },
        Move::InstanceGone(_) => Occurrence::InstanceGone,
    }
}

/// What a move changes beside the status. An external workspace keeps its address
/// (deviation D54); an instance's goes with it.
fn effects(wanted: &Move, before: &Loaded, now: Status) -> Effects {
    let stops = matches!(
        now,
        Status::Provisioning | Status::Paused | Status::Hibernated | Status::AwaitingAgent
    );
    let error = match wanted {
        Move::StartFailed(failed) => Some(failed.error.clone()),
        Move::ProvisionTimeout(late) => Some(late.error.clone()),
        Move::BootstrapFailed(failed) if failed.log_tail.is_empty() => Some(failed.error.clone()),
        Move::BootstrapFailed(failed) => Some(format!("{}\n\n{}", failed.error, failed.log_tail)),
        Move::InstanceGone(gone) if !gone.error.is_empty() => Some(gone.error.clone()),
        _ => None,
    };
    Effects {
        clear_url: stops && !before.state.external,
        last_error: error.map(|error| error[..error.floor_char_boundary(MOST_ERROR)].to_owned()),
    }
}

fn unchanged(before: &Loaded) -> pb::MoveWorkspaceResponse {
    let status = before.state.status.label().to_owned();
    pb::MoveWorkspaceResponse {
        previous_status: status.clone(),
        status,
        rule: String::new(),
        epoch: before.state.epoch.0,
        fence_epoch: before.state.fence_epoch.0,
    }
}
