//! What people see of instances and backends, and what they allow.

use std::sync::Arc;
use std::time::Duration;

use candor_identity::Call;
use candor_kernel::{Error, WorkspaceId};
use candor_peers::time;
use candor_proto::provisioner::v1 as pb;
use chrono::{TimeDelta, Utc};
use futures::future::join_all;

use super::workspace;
use crate::app::App;
use crate::blueprint::blueprint;
use crate::store::policies::{self, Change, Policy};
use crate::store::{Store, explain as stored};

/// The longest time that a workspace may be idle before it is stopped: ten years, as
/// good as never.
const LONGEST_IDLE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// How far a workspace's instance is, and the newest steps on the way.
pub(super) async fn explain(
    app: Arc<App>,
    call: Call,
    request: pb::ExplainInstanceRequest,
) -> Result<pb::ExplainInstanceResponse, Error> {
    let id = workspace("id", &request.id)?;
    call.self_or_operator(id)?;
    let mut connection = app.store.connection().await?;
    let Some(instance) = stored::instance(&mut connection, id).await? else {
        drop(connection);
        exists(&app, id).await?;
        return Ok(pb::ExplainInstanceResponse::default());
    };
    let steps = stored::steps(&mut connection, id).await?;
    drop(connection);
    let window = TimeDelta::from_std(app.config.budget.window).unwrap_or(TimeDelta::MAX);
    let now = Utc::now();
    let mut restarts = instance.restarts;
    restarts.retain(|at| now.signed_duration_since(*at) < window);
    Ok(pb::ExplainInstanceResponse {
        backend: instance.backend,
        want: instance.want,
        epoch: instance.epoch,
        handed: instance.handed,
        called: instance.called,
        halted: instance.halted,
        last_error: instance.last_error,
        attempts: instance.attempts,
        // What is as it is wanted, or given up, is not waited for.
        next_at: (!instance.settled && !instance.halted).then(|| time::timestamp(instance.next_at)),
        restarts: restarts.into_iter().map(time::timestamp).collect(),
        restart_budget: u32::try_from(app.config.budget.most).unwrap_or(u32::MAX),
        restart_window: Some(time::duration(app.config.budget.window)),
        steps: steps.into_iter().map(step).collect(),
        url: instance.url.unwrap_or_default(),
    })
}

fn step(step: stored::StepTaken) -> pb::InstanceStep {
    let took = u64::try_from(step.took_ms).unwrap_or_default();
    pb::InstanceStep {
        at: Some(time::timestamp(step.at)),
        epoch: step.epoch,
        step: step.step,
        outcome: step.outcome,
        detail: step.detail,
        took: Some(time::duration(Duration::from_millis(took))),
    }
}

/// What can run instances here, and whether it could now.
pub(super) async fn backends(
    app: Arc<App>,
    call: Call,
    _: pb::ListBackendsRequest,
) -> Result<pb::ListBackendsResponse, Error> {
    call.operator()?;
    let states = app.backends.homes().map(|home| async move {
        pb::BackendState {
            name: home.backend().name().to_owned(),
            runtimes: home.runtimes(),
            problem: home.problem().await.unwrap_or_default(),
            platform_url: home.platform_url().unwrap_or_default().to_owned(),
        }
    });
    Ok(pb::ListBackendsResponse {
        backends: join_all(states).await,
    })
}

/// What the owner of a workspace allows.
pub(super) async fn policy(
    app: Arc<App>,
    call: Call,
    request: pb::GetPolicyRequest,
) -> Result<pb::Policy, Error> {
    let id = workspace("workspace_id", &request.workspace_id)?;
    call.self_or_operator(id)?;
    exists(&app, id).await?;
    let mut connection = app.store.connection().await?;
    policies::get(&mut connection, id).await.map(shown)
}

/// Changes it.
pub(super) async fn set_policy(
    app: Arc<App>,
    call: Call,
    request: pb::SetPolicyRequest,
) -> Result<pb::Policy, Error> {
    call.operator()?;
    let id = workspace("workspace_id", &request.workspace_id)?;
    let change = Change {
        restart_on_wedge: request.restart_on_wedge,
        hibernate_after: request.hibernate_after.map(idle).transpose()?,
    };
    exists(&app, id).await?;
    let mut tx = app.store.begin().await?;
    let policy = policies::change(&mut tx, id, change).await?;
    Store::commit(tx).await?;
    Ok(shown(policy))
}

/// Whole seconds of idleness; none at all means never.
fn idle(asked: prost_types::Duration) -> Result<Option<Duration>, Error> {
    let wrong = || {
        Error::field(
            "hibernate_after",
            "hibernate_after must be whole seconds, at most ten years; zero means never",
        )
    };
    let time = time::span(asked).ok_or_else(wrong)?;
    if time > LONGEST_IDLE || time.subsec_nanos() != 0 {
        return Err(wrong());
    }
    Ok((!time.is_zero()).then_some(time))
}

fn shown(policy: Policy) -> pb::Policy {
    pb::Policy {
        restart_on_wedge: policy.restart_on_wedge,
        hibernate_after: policy.hibernate_after.map(time::duration),
    }
}

/// Not found is the registry's word.
async fn exists(app: &App, id: WorkspaceId) -> Result<(), Error> {
    blueprint(app, id).await.map(drop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn idleness_is_whole_seconds_and_none_means_never() {
        let asked = |seconds, nanos| idle(prost_types::Duration { seconds, nanos });
        assert_eq!(asked(1800, 0).unwrap(), Some(Duration::from_secs(1800)));
        assert_eq!(asked(0, 0).unwrap(), None);
        for (seconds, nanos) in [(-1, 0), (0, 1), (i64::MAX, 0)] {
            assert!(asked(seconds, nanos).is_err(), "{seconds} {nanos}");
        }
    }
}
