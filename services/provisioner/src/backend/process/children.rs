//! The instances that this process started itself: it alone learns how they end.

use std::collections::HashMap;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use candor_kernel::WorkspaceId;
use parking_lot::Mutex;
use tokio::process::Child;
use tokio::sync::watch;
use tokio::time::timeout;

use super::ProcessSettings;
use super::proc::Identity;
use super::record::Ended;

/// For the end of a child to be noted once it is seen.
const NOTED: Duration = Duration::from_secs(2);
/// Children whose end this process will see and note. One for each workspace at most.
#[derive(Debug, Clone, Default)]
pub(super) struct Children(Arc<Mutex<HashMap<WorkspaceId, Attended>>>);

#[derive(Debug, Clone)]
struct Attended {
    process: Identity,
    /// Closed when the end is noted.
    noted: watch::Receiver<()>,
}

// === impl Children ===

impl Children {
    /// Whether this process is a child whose end is not noted yet.
    pub(super) fn has(&self, workspace: WorkspaceId, process: &Identity) -> bool {
        self.get(workspace, process).is_some()
    }

    /// Waits, not for long, until the end of a child that has ended is noted.
    pub(super) async fn noted(&self, workspace: WorkspaceId, process: &Identity) {
        if let Some(mut child) = self.get(workspace, process) {
            let _closed = timeout(NOTED, child.noted.changed()).await;
        }
    }

    fn get(&self, workspace: WorkspaceId, process: &Identity) -> Option<Attended> {
        let children = self.0.lock();
        let child = children.get(&workspace)?;
        (child.process == *process).then(|| child.clone())
    }

    /// Waits for the child's end, so that it does not stay as a zombie, and notes it.
    pub(super) fn attend(
        &self,
        settings: Arc<ProcessSettings>,
        workspace: WorkspaceId,
        process: Identity,
        mut child: Child,
    ) {
        let (closed_when_noted, noted) = watch::channel(());
        let attended = Attended {
            process: process.clone(),
            noted,
        };
        self.0.lock().insert(workspace, attended);
        let children = self.clone();
        tokio::spawn(async move {
            let how = match child.wait().await {
                Ok(status) => words(status),
                Err(error) => format!("how it ended cannot be known: {error}"),
            };
            let ended = Ended { process, how };
            let process = ended.process.clone();
            let noting = tokio::task::spawn_blocking(move || settings.note_end(workspace, &ended));
            if let Ok(Err(error)) = noting.await {
                tracing::warn!(%workspace, %error, "the end of an instance is not noted");
            }
            let mut children = children.0.lock();
            if children.get(&workspace).map(|child| &child.process) == Some(&process) {
                children.remove(&workspace);
            }
            drop(closed_when_noted);
        });
    }
}

/// How a process ended.
fn words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with exit status {code}"),
        (None, Some(9)) => "it was killed (SIGKILL): by somebody, or for want of memory".into(),
        (None, Some(6)) => "it gave up (SIGABRT), as when it may have no more memory".into(),
        (None, Some(number)) => format!("it was ended by signal {number}"),
        (None, None) => "it ended".into(),
    }
}
