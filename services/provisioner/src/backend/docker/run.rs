//! Starting what was written, and ending what runs.

use std::time::Duration;

use bollard::query_parameters::{
    RemoveContainerOptionsBuilder, StartContainerOptions, StopContainerOptionsBuilder,
};
use candor_kernel::token::TokenHash;
use tokio::time::{Instant, sleep};

use super::DockerBackend;
use super::engine::{Failure, MAKE, bounded, without_secrets};
use super::look;
use super::names::Names;
use crate::backend::{BackendError, Observed, Plan};

/// How long a container may take to be gone after it was killed.
const GONE: Duration = Duration::from_secs(30);
/// How long a started container may take to have its port.
const PORT_KNOWN: Duration = Duration::from_secs(3);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl DockerBackend {
    /// Starts what was written, and nothing else: never an instance without its token.
    pub(super) async fn start_written(&self, plan: &Plan) -> Result<Observed, BackendError> {
        let name = &Names::of(plan.workspace).container;
        let not_written = || {
            BackendError::Unavailable(format!(
                "{name}: nothing was written for epoch {}",
                plan.epoch
            ))
        };
        let there = look::at(&self.engine, &self.mark, name).await?;
        let there = there.ok_or_else(not_written)?;
        self.own(&there, plan.workspace, name)?;
        if there.epoch != plan.epoch {
            return Err(not_written());
        }
        if !there.is_alive() {
            let token = self.token_of(&there.id).await?;
            if token != Some(TokenHash::of(plan.token.expose())) {
                return Err(not_written());
            }
            let id = &there.id;
            let started = self.engine.call(MAKE, |docker| async move {
                docker
                    .start_container(id, None::<StartContainerOptions>)
                    .await
            });
            started
                .await
                .map_err(|failure| refused_or_not(failure, &format!("starting {name}"), plan))?;
        }
        self.settled(&there.id, name).await
    }

    /// How the container is once it runs with its port, or has ended.
    async fn settled(&self, id: &str, name: &str) -> Result<Observed, BackendError> {
        let deadline = Instant::now() + PORT_KNOWN;
        loop {
            let Some(there) = look::at(&self.engine, &self.mark, id).await? else {
                return Ok(Observed::NotFound);
            };
            let waits = there.is_alive() && there.url(name).is_none();
            if !waits || Instant::now() >= deadline {
                return Ok(there.observed(&self.engine, name).await);
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Asks a container to end, and takes it away after the grace.
    pub(super) async fn end_gracefully(
        &self,
        id: &str,
        name: &str,
        grace: Duration,
    ) -> Result<(), BackendError> {
        if !grace.is_zero() {
            // The engine counts in whole seconds; what is over is killed by the removal.
            let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
            let options = StopContainerOptionsBuilder::new()
                .t(i32::try_from(seconds).unwrap_or(i32::MAX))
                .build();
            let asked = self.engine.call(grace, |docker| async move {
                docker.stop_container(id, Some(options)).await
            });
            if let Err(failure) = asked.await {
                tracing::debug!(container = name, ?failure, "not ended when asked");
            }
        }
        self.end(id, name).await
    }

    /// Takes a container away, whatever it does, and waits until the engine says that
    /// there is none.
    pub(super) async fn end(&self, id: &str, name: &str) -> Result<(), BackendError> {
        let deadline = Instant::now() + GONE;
        loop {
            // Volumes with a name stay; only those that nobody named go with it.
            let options = RemoveContainerOptionsBuilder::new()
                .v(true)
                .force(true)
                .build();
            let removed = self.engine.call(MAKE, |docker| async move {
                docker.remove_container(id, Some(options)).await
            });
            let failure = removed.await.err();
            if look::at(&self.engine, &self.mark, id).await?.is_none() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let failure = failure.unwrap_or_else(|| {
                    Failure::Answered(500, format!("it is still there after {GONE:?}"))
                });
                return Err(failure.unavailable(&format!("removing {name}")));
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

/// What the engine calls a mistake in the request will be one again; all else may pass.
/// Its text may repeat what it was given.
pub(super) fn refused_or_not(failure: Failure, step: &str, plan: &Plan) -> BackendError {
    let secrets = || {
        let token = std::iter::once(plan.token.expose());
        token.chain(plan.env.values().map(|value| value.expose()))
    };
    match failure {
        // But for a network that two made at once: one of the two is taken back.
        Failure::Answered(400, text) if !text.contains("is ambiguous") => BackendError::Refused(
            bounded(&format!("{step}: {}", without_secrets(&text, secrets()))),
        ),
        Failure::Answered(status, text) => {
            Failure::Answered(status, without_secrets(&text, secrets())).unavailable(step)
        }
        silent @ Failure::Silent(_) => silent.unavailable(step),
    }
}
