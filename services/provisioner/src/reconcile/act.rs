//! What each step does, and what follows from how it ends.

use std::sync::Arc;
use std::time::Duration;

use candor_kernel::token::TokenHash;
use candor_kernel::{Epoch, Error, Reason, Status};
use candor_peers::time::datetime;
use candor_process::config::Secret;
use candor_proto::registry::v1 as registry;
use registry::move_workspace_request::Move;

use super::budget::Verdict;
use super::plan::NoPlan;
use super::step::Want;
use super::tell::Told;
use super::turn::{Flow, Seen, Turn};
use crate::backend::{BackendError, Observed, Plan, Remove};
use crate::environment::environment;
use crate::restart_context::{self, Context};
use crate::service::provisioner;
use crate::store::{files, progress};

/// Failed stops after which a workspace is not hibernating any more.
const MOST_STOPS: i32 = 2;
/// Pause while the budget is spent and a restart is due.
const SPENT_PAUSE: Duration = Duration::from_secs(30);

/// Everything is as it is wanted.
pub(super) async fn settled(
    turn: &Turn<'_>,
    seen: &Seen<'_>,
    observed: &Observed,
) -> Result<Flow, Error> {
    if let Observed::Running { url, .. } = observed {
        if !seen.row.called {
            called(turn, seen, url.as_deref()).await?;
            return Ok(Flow::Again);
        }
        if let Some(reason) = seen.row.restart_reason.clone() {
            return restart(turn, seen, &reason).await;
        }
    } else if seen.is(Status::Hibernating) {
        let done = Move::Hibernated(registry::HibernatedMove {});
        move_to(turn, seen, done, "stopped").await?;
    }
    let mut connection = turn.app.store.connection().await?;
    if !progress::settle(&mut connection, &seen.hold).await? {
        return Ok(Flow::Again);
    }
    turn.app.settled.notify_waiters();
    Ok(Flow::Over)
}

async fn called(turn: &Turn<'_>, seen: &Seen<'_>, url: Option<&str>) -> Result<(), Error> {
    if let Some(url) = url {
        set_url(turn, seen, url).await?;
    }
    let mut connection = turn.app.store.connection().await?;
    if progress::called(&mut connection, &seen.hold).await? {
        // Nobody may have been there to note its start.
        files::started(&mut connection, seen.row.id(), seen.row.epoch).await?;
        drop(connection);
        turn.note(seen, "called", "done", "", Duration::ZERO).await;
    }
    Ok(())
}

/// A restart that is due: a secret changed, or the instance says that it is wedged.
async fn restart(turn: &Turn<'_>, seen: &Seen<'_>, reason: &str) -> Result<Flow, Error> {
    let heals = reason.starts_with(super::sweep::WEDGED);
    let wedged = seen
        .blueprint
        .is_some_and(|blueprint| blueprint.wedge_reason.is_some());
    if heals && !wedged {
        let mut connection = turn.app.store.connection().await?;
        progress::drop_reason(&mut connection, &seen.hold).await?;
        return Ok(Flow::Again);
    }
    match turn
        .app
        .config
        .budget
        .judge(&seen.row.restarts, seen.row.now)
    {
        Verdict::From(at) if at <= seen.row.now => again(turn, seen, reason).await,
        Verdict::From(at) => Ok(Flow::Pause(until(seen, at))),
        // It takes effect as soon as the budget allows it.
        Verdict::Spent => {
            let why = format!("{reason}; {}", spent(turn));
            if seen.row.last_error != why {
                turn.note(seen, "restart", "waits", &why, Duration::ZERO)
                    .await;
            }
            Ok(Flow::Retry(why))
        }
    }
}

fn until(seen: &Seen<'_>, at: chrono::DateTime<chrono::Utc>) -> Duration {
    let pause = (at - seen.row.now).to_std().unwrap_or_default();
    pause.max(Duration::from_millis(50))
}

fn spent(turn: &Turn<'_>) -> String {
    let budget = &turn.app.config.budget;
    format!(
        "it was restarted {} times within {}s and is not again by itself: look at its log, then \
         restart it",
        budget.most,
        budget.window.as_secs()
    )
}

/// Raises a new fence for another instance, and counts it.
async fn again(turn: &Turn<'_>, seen: &Seen<'_>, why: &str) -> Result<Flow, Error> {
    let restart = Move::Restart(registry::RestartMove {
        automatic: true,
        ..registry::RestartMove::default()
    });
    match move_to(turn, seen, restart, why).await? {
        Told::Moved => {}
        // It is paused or removed, or another fence was raised: that is taken over next.
        Told::Unchanged => return overtaken(turn, seen).await,
        Told::Refused(error) => return Ok(Flow::Halt(error)),
    }
    turn.app.config.crash.passed("restarted");
    let mut connection = turn.app.store.connection().await?;
    progress::spend(&mut connection, &seen.hold).await?;
    drop(connection);
    turn.app.config.crash.passed("spent");
    turn.note(seen, "restart", "done", why, Duration::ZERO)
        .await;
    super::take::take(turn.app).await?;
    Ok(Flow::Again)
}

async fn overtaken(turn: &Turn<'_>, seen: &Seen<'_>) -> Result<Flow, Error> {
    match turn.newer(seen.row).await? {
        true => Ok(Flow::Again),
        false => Ok(Flow::Pause(Duration::from_secs(1))),
    }
}

/// Ends whatever runs. What the next instance needs is brought first, while the old one
/// still works.
pub(super) async fn stop(turn: &mut Turn<'_>, seen: &Seen<'_>) -> Result<Flow, Error> {
    let wants_another = seen.row.desired().want == Want::Running;
    if let Some(blueprint) = seen.blueprint.filter(|_| wants_another)
        && let Ok(plan) = turn.make_plan(seen, blueprint, Secret::new("")).await
    {
        // Whether it comes is judged at the hand-over.
        let _later = prepare(turn, seen, &plan).await;
    }
    let id = seen.row.id();
    let grace = turn.app.config.grace;
    let stopped = turn.timed(seen, "stop", seen.backend.stop(id, grace)).await;
    turn.app.config.crash.passed("stopped");
    match stopped {
        Ok(()) => Ok(Flow::Again),
        Err(error) if seen.is(Status::Hibernating) && seen.row.attempts >= MOST_STOPS => {
            not_hibernated(turn, seen, &error.to_string()).await?;
            Ok(Flow::Again)
        }
        Err(error) => Ok(Flow::Retry(format!("stopping: {error}"))),
    }
}

/// It could not be stopped, and goes on.
pub(super) async fn not_hibernated(
    turn: &Turn<'_>,
    seen: &Seen<'_>,
    why: &str,
) -> Result<(), Error> {
    let failed = Move::HibernateFailed(registry::HibernateFailedMove {});
    move_to(turn, seen, failed, why).await?;
    super::take::take(turn.app).await
}

/// Brings what the plan needs; once a turn is enough.
async fn prepare(turn: &mut Turn<'_>, seen: &Seen<'_>, plan: &Plan) -> Result<(), BackendError> {
    if turn.prepared == Some(seen.row.epoch) {
        return Ok(());
    }
    let told = super::tell::Progressing::default();
    let work = seen.backend.prepare(plan, &told);
    told.follow(turn, seen, "prepare", work).await?;
    turn.prepared = Some(seen.row.epoch);
    Ok(())
}

/// Writes files and token where the instance will read them, and reads the token back.
pub(super) async fn hand_over(turn: &mut Turn<'_>, seen: &Seen<'_>) -> Result<Flow, Error> {
    let Some(blueprint) = seen.blueprint else {
        return Ok(Flow::Pause(SPENT_PAUSE));
    };
    let Some(token) = issue(turn, seen).await? else {
        super::take::take(turn.app).await?;
        return Ok(Flow::Pause(Duration::from_millis(100)));
    };
    turn.app.config.crash.passed("issued");
    let hash = TokenHash::of(token.expose());
    let plan = match turn.make_plan(seen, blueprint, token).await {
        Ok(plan) => plan,
        Err(NoPlan::Later(why)) => return Ok(Flow::Retry(why)),
        Err(NoPlan::Never { error, missing }) => {
            return fail(turn, seen, "plan", error, missing).await;
        }
    };
    let ready = prepare(turn, seen, &plan).await;
    turn.app.config.crash.passed("prepared");
    if let Err(error) = ready {
        return refused(turn, seen, "prepare", error).await;
    }
    let written = turn.timed(seen, "write", seen.backend.write(&plan)).await;
    turn.app.config.crash.passed("written");
    if let Err(error) = written {
        return refused(turn, seen, "write", error).await;
    }
    let (id, epoch) = (seen.row.id(), Epoch(seen.row.epoch));
    let read = seen.backend.written_token(id, epoch);
    match turn.timed(seen, "verify", read).await {
        Ok(Some(read)) if read == hash => {}
        Ok(read) => {
            let what = if read.is_some() {
                "another token"
            } else {
                "no token"
            };
            let error = format!(
                "the new token could not be verified: {what} was read back where the instance would \
                 read it; it was not started"
            );
            return fail(turn, seen, "verify", error, Vec::new()).await;
        }
        Err(error) => return refused(turn, seen, "verify", error).await,
    }
    turn.app.config.crash.passed("read_back");
    let mut connection = turn.app.store.connection().await?;
    progress::handed(&mut connection, &seen.hold, "verified", None).await?;
    turn.app.config.crash.passed("verified");
    turn.plan = Some(plan);
    Ok(Flow::Again)
}

/// The token of the fence; none if another fence was raised meanwhile.
async fn issue(turn: &Turn<'_>, seen: &Seen<'_>) -> Result<Option<Secret>, Error> {
    let request = registry::IssueInstanceTokenRequest {
        workspace_id: turn.id.to_string(),
        epoch: seen.row.epoch,
    };
    let client = &turn.app.services.registry;
    let issued = client
        .call(&provisioner(), request, |mut c, r| async move {
            c.issue_instance_token(r).await
        })
        .await;
    match issued {
        Ok(issued) => Ok(Some(Secret::new(&issued.auth_token))),
        Err(error)
            if matches!(
                error.reason(),
                Reason::TransitionRefused | Reason::WorkspaceNotFound
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Starts the instance that was handed its token in this turn; what was handed over by
/// somebody who is gone is handed over anew, since nobody knows its token.
pub(super) async fn start(turn: &mut Turn<'_>, seen: &Seen<'_>) -> Result<Flow, Error> {
    let Some(plan) = turn
        .plan
        .take()
        .filter(|plan| plan.epoch.0 == seen.row.epoch)
    else {
        let mut connection = turn.app.store.connection().await?;
        progress::handed(&mut connection, &seen.hold, "nothing", None).await?;
        return Ok(Flow::Again);
    };
    let told = super::tell::Progressing::default();
    let work = seen.backend.start(&plan, &told);
    let started = told.follow(turn, seen, "start", work).await;
    turn.app.config.crash.passed("started");
    match started {
        Ok(observed) => {
            let url = match &observed {
                Observed::Running { url, .. } => url.as_deref(),
                _ => None,
            };
            if let Some(url) = url {
                set_url(turn, seen, url).await?;
            }
            let mut connection = turn.app.store.connection().await?;
            progress::handed(&mut connection, &seen.hold, "started", url).await?;
            files::started(&mut connection, seen.row.id(), seen.row.epoch).await?;
            drop(connection);
            tell_context(turn, seen).await;
            turn.app.config.crash.passed("noted");
            Ok(Flow::Again)
        }
        Err(error) => refused(turn, seen, "start", error).await,
    }
}

/// An instance that is not the first is told what changed.
async fn tell_context(turn: &Turn<'_>, seen: &Seen<'_>) {
    if seen.row.epoch <= 1 {
        return;
    }
    let Ok(env) = environment(turn.app, seen.row.id()).await else {
        // It has just been read; what is told is for convenience only.
        return;
    };
    let heard = seen
        .blueprint
        .and_then(|blueprint| blueprint.last_heartbeat_at);
    let context = Context {
        workspace: seen.row.id(),
        epoch: seen.row.epoch,
        restarted_at: seen.row.wanted_at,
        previous_end: heard.as_ref().and_then(datetime),
        env_names: env.into_keys().collect(),
    };
    let app = Arc::clone(turn.app);
    turn.app.tasks.spawn(restart_context::tell(app, context));
}

async fn set_url(turn: &Turn<'_>, seen: &Seen<'_>, url: &str) -> Result<(), Error> {
    let request = registry::SetInstanceUrlRequest {
        workspace_id: turn.id.to_string(),
        epoch: seen.row.epoch,
        url: url.to_owned(),
    };
    let client = &turn.app.services.registry;
    let set = client
        .call(&provisioner(), request, |mut c, r| async move {
            c.set_instance_url(r).await
        })
        .await;
    set.map(drop)
}

/// What can be tried again is; what cannot fails with its reason.
async fn refused(
    turn: &Turn<'_>,
    seen: &Seen<'_>,
    step: &'static str,
    error: BackendError,
) -> Result<Flow, Error> {
    match error {
        BackendError::Unavailable(why) => Ok(Flow::Retry(why)),
        BackendError::Refused(why) => fail(turn, seen, step, why, Vec::new()).await,
    }
}

/// The workspace fails, and its old token stays as it is: the one that was to replace it
/// ends.
async fn fail(
    turn: &Turn<'_>,
    seen: &Seen<'_>,
    step: &'static str,
    error: String,
    missing: Vec<String>,
) -> Result<Flow, Error> {
    let error = turn.shown(&error).await;
    // Nothing half made is left to be started by anybody.
    let (id, grace) = (seen.row.id(), turn.app.config.grace);
    if let Err(left) = seen.backend.stop(id, grace).await {
        return Ok(Flow::Retry(format!(
            "{error}; what was begun could not be ended: {left}"
        )));
    }
    withdraw(turn, seen).await?;
    let failed = Move::StartFailed(registry::StartFailedMove {
        error: error.clone(),
        missing,
    });
    move_to(turn, seen, failed, step).await?;
    turn.note(seen, "give_up", "failed", &error, Duration::ZERO)
        .await;
    Ok(Flow::Halt(error))
}

async fn withdraw(turn: &Turn<'_>, seen: &Seen<'_>) -> Result<(), Error> {
    let request = registry::WithdrawInstanceTokenRequest {
        workspace_id: turn.id.to_string(),
        epoch: seen.row.epoch,
    };
    let client = &turn.app.services.registry;
    let withdrawn = client
        .call(&provisioner(), request, |mut c, r| async move {
            c.withdraw_instance_token(r).await
        })
        .await;
    withdrawn.map(drop)
}

/// The instance ended, or is gone: another one within the budget.
pub(super) async fn replace(
    turn: &Turn<'_>,
    seen: &Seen<'_>,
    called: bool,
    why: &str,
) -> Result<Flow, Error> {
    let verdict = turn
        .app
        .config
        .budget
        .judge(&seen.row.restarts, seen.row.now);
    let spent = match verdict {
        Verdict::Spent => Some(format!("{why}; {}", spent(turn))),
        Verdict::From(_) => None,
    };
    if called {
        let gone = Move::InstanceGone(registry::InstanceGoneMove {
            error: spent.clone().unwrap_or_else(|| why.to_owned()),
        });
        move_to(turn, seen, gone, why).await?;
    }
    match (verdict, spent) {
        (Verdict::From(at), _) if at > seen.row.now => Ok(Flow::Pause(until(seen, at))),
        (Verdict::From(_), _) => again(turn, seen, why).await,
        (Verdict::Spent, spent) => {
            let error = spent.unwrap_or_else(|| why.to_owned());
            if called {
                turn.note(seen, "give_up", "failed", &error, Duration::ZERO)
                    .await;
                return Ok(Flow::Halt(error));
            }
            fail(turn, seen, "restart", error, Vec::new()).await
        }
    }
}

/// It runs, and has not called in its time. It may still do so: what calls with the
/// fence's token is taken as the instance that it is.
pub(super) async fn timed_out(turn: &Turn<'_>, seen: &Seen<'_>) -> Result<Flow, Error> {
    let error = "provisioning timed out — container started but never called /registry/register. \
                 Check container logs and network connectivity to the platform.";
    late(turn, seen, error).await?;
    Ok(Flow::Halt(error.to_owned()))
}

/// It could not be started in all its time.
pub(super) async fn too_late(turn: &Turn<'_>, seen: &Seen<'_>, why: &str) -> Result<(), Error> {
    late(turn, seen, &format!("provisioning timed out: {why}")).await
}

async fn late(turn: &Turn<'_>, seen: &Seen<'_>, error: &str) -> Result<(), Error> {
    let timeout = seen.provision_timeout(turn.app).as_secs();
    let late = Move::ProvisionTimeout(registry::ProvisionTimeoutMove {
        error: error.to_owned(),
        timeout_secs: i64::try_from(timeout).unwrap_or(i64::MAX),
    });
    move_to(turn, seen, late, "timed out").await?;
    turn.note(seen, "time_out", "failed", error, Duration::ZERO)
        .await;
    Ok(())
}

/// Takes away what outlives instances, and forgets the row.
pub(super) async fn take_away(
    turn: &Turn<'_>,
    seen: &Seen<'_>,
    what: Remove,
) -> Result<Flow, Error> {
    let id = seen.row.id();
    let removed = turn.timed(seen, "remove", async {
        // Also what was made and never ran.
        seen.backend.stop(id, turn.app.config.grace).await?;
        seen.backend.remove(id, what).await
    });
    let removed = removed.await;
    turn.app.config.crash.passed("removed");
    if let Err(error) = removed {
        return Ok(Flow::Retry(format!("removing: {error}")));
    }
    let mut tx = turn.app.store.begin().await?;
    if !progress::forget(&mut tx, &seen.hold).await? {
        return Ok(Flow::Again);
    }
    crate::store::Store::commit(tx).await?;
    turn.app.settled.notify_waiters();
    Ok(Flow::Over)
}

/// Moves the workspace, if the fence is still the row's.
async fn move_to(
    turn: &Turn<'_>,
    seen: &Seen<'_>,
    wanted: Move,
    evidence: &str,
) -> Result<Told, Error> {
    super::tell::registry(turn.app, turn.id, Some(seen.row.epoch), wanted, evidence).await
}
