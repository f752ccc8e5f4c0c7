//! Wakes workspaces that messages are sent to while they are hibernated (design section 9;
//! rule R15): the registry decides, and asks for an instance if a backend runs them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use candor_kernel::{Error, Reason, Status, WorkspaceId};
use candor_peers::RegistryClient;
use candor_proto::registry::v1 as pb;
use parking_lot::Mutex;
use pb::move_workspace_request::Move;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::forward::relay;
use crate::target::Target;

/// Workspaces that are woken at a time; the next message to another one tries again.
const MOST: usize = 256;
/// How long one that is still being hibernated is waited for: its stop takes no longer.
const HIBERNATED_WITHIN: Duration = Duration::from_secs(45);
/// Between two looks at it.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Wakes; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Wakes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: RegistryClient,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Those that are being woken now.
    running: Mutex<HashSet<WorkspaceId>>,
}

/// A wake that runs, however it ends.
struct Running(Wakes, WorkspaceId);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.running.lock().remove(&self.1);
    }
}

impl Wakes {
    pub(crate) fn new(
        registry: RegistryClient,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self(Arc::new(Inner {
            registry,
            tasks,
            stop,
            running: Mutex::default(),
        }))
    }

    /// Somebody who may send to it has a message for it. Nobody waits for the outcome: the
    /// next message finds what became of it, and begins again if it must.
    pub(crate) fn notice(&self, target: &Target) {
        if !matches!(target.status, Status::Hibernated | Status::Hibernating) {
            return;
        }
        let id = target.id;
        let running = {
            let mut all = self.0.running.lock();
            if self.0.stop.is_cancelled() || all.len() >= MOST || !all.insert(id) {
                return;
            }
            Running(self.clone(), id)
        };
        let wakes = self.clone();
        let work = async move {
            let stop = wakes.0.stop.clone();
            let woken = stop.run_until_cancelled(wakes.wake(id)).await;
            count(id, woken);
            drop(running);
        };
        self.0.tasks.spawn(work.in_current_span());
    }

    /// True if it moved.
    async fn wake(&self, id: WorkspaceId) -> Result<bool, Error> {
        let late = Instant::now() + HIBERNATED_WITHIN;
        loop {
            let family = self.family(id).await?;
            let is = |one: &pb::Relative, status: Status| one.status == status.label();
            let now = family.workspace.as_ref();
            let now = now.and_then(|one| one.status.parse().ok());
            if family.ancestors.iter().any(|one| is(one, Status::Paused)) {
                // It comes back with its parent (contract/workspaces.md, "Programmatic
                // restart").
                return Ok(false);
            }
            match now {
                Some(Status::Hibernated) => return self.resume(id).await,
                Some(Status::Hibernating) if Instant::now() < late => {}
                _ => return Ok(false),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn family(&self, id: WorkspaceId) -> Result<pb::GetFamilyResponse, Error> {
        let request = pb::GetFamilyRequest { id: id.to_string() };
        self.0
            .registry
            .call(&relay(), request, |mut c, r| async move {
                c.get_family(r).await
            })
            .await
    }

    async fn resume(&self, id: WorkspaceId) -> Result<bool, Error> {
        let request = pb::MoveWorkspaceRequest {
            id: id.to_string(),
            fence_epoch: None,
            evidence: "a message woke it".to_owned(),
            r#move: Some(Move::Resume(pb::ResumeMove {
                needs_backend: true,
            })),
        };
        let moved = self
            .0
            .registry
            .call(&relay(), request, |mut c, r| async move {
                c.move_workspace(r).await
            })
            .await;
        match moved {
            Ok(moved) => Ok(!moved.rule.is_empty()),
            // Another relay was faster.
            Err(error) if error.reason() == Reason::TransitionRefused => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// None if the process ended before.
fn count(id: WorkspaceId, woken: Option<Result<bool, Error>>) {
    let outcome = match woken {
        Some(Ok(true)) => "woken",
        Some(Ok(false)) | None => "left",
        Some(Err(error)) => {
            tracing::warn!(
                workspace = %id,
                reason = error.reason().code(),
                internal = error.internal_text(),
                "a hibernated workspace was not woken, its next message tries again: {error}"
            );
            "failed"
        }
    };
    metrics::counter!("candor_relay_wakes_total", "outcome" => outcome).increment(1);
}
