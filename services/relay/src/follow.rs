//! What the platform's events say about workspaces that messages are sent to: who
//! makes progress, who has room again, who came back.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use candor_kernel::{Error, WorkspaceId};
use candor_peers::RegistryClient;
use candor_proto::registry::v1 as pb;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::forward::relay;
use crate::ledger::Waker;

/// Pause before a lost subscription is renewed.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// When workspaces that are being called last showed progress. Only those are
/// remembered, so that it is bounded by the calls that run.
#[derive(Debug, Clone, Default)]
pub struct Progressing(Arc<Mutex<HashMap<WorkspaceId, Watched>>>);

#[derive(Debug)]
struct Watched {
    calls: usize,
    at: Option<Instant>,
}

/// A call that wants to know about its workspace, for as long as it lives.
#[derive(Debug)]
pub struct Watch {
    all: Progressing,
    id: WorkspaceId,
}

impl Progressing {
    /// Watches a workspace.
    #[must_use]
    pub fn watch(&self, id: WorkspaceId) -> Watch {
        let mut all = self.0.lock();
        all.entry(id)
            .or_insert(Watched { calls: 0, at: None })
            .calls += 1;
        Watch {
            all: self.clone(),
            id,
        }
    }

    fn note(&self, id: WorkspaceId) {
        if let Some(watched) = self.0.lock().get_mut(&id) {
            watched.at = Some(Instant::now());
        }
    }
}

impl Watch {
    /// Calls to the workspace now, this one included.
    #[must_use]
    pub fn calls(&self) -> usize {
        let all = self.all.0.lock();
        all.get(&self.id).map_or(0, |watched| watched.calls)
    }

    /// When the workspace last showed progress while somebody watched.
    #[must_use]
    pub fn last(&self) -> Option<Instant> {
        self.all.0.lock().get(&self.id)?.at
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut all = self.all.0.lock();
        if let Some(watched) = all.get_mut(&self.id) {
            watched.calls -= 1;
            if watched.calls == 0 {
                all.remove(&self.id);
            }
        }
    }
}

/// Follows the registry's events until stopped. What is missed while it does not
/// answer costs a pause: nothing else depends on it.
pub(crate) async fn run(
    registry: RegistryClient,
    progressing: Progressing,
    waker: Waker,
    stop: CancellationToken,
) {
    let forever = async {
        loop {
            if let Err(error) = follow(&registry, &progressing, &waker).await {
                tracing::debug!(internal = error.internal_text(), "events: {error}");
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
    };
    stop.run_until_cancelled(forever).await;
}

async fn follow(
    registry: &RegistryClient,
    progressing: &Progressing,
    waker: &Waker,
) -> Result<(), Error> {
    let request = pb::WatchEventsRequest {
        since_seq: None,
        workspace_id: None,
        include_transient: true,
    };
    let mut events = registry
        .call(&relay(), request, |mut c, r| async move {
            c.watch_events(r).await
        })
        .await?;
    while let Some(event) = events
        .message()
        .await
        .map_err(|status| candor_process::grpc::from_status(&status))?
    {
        heard(&event, progressing, waker);
    }
    Ok(())
}

fn heard(event: &pb::Event, progressing: &Progressing, waker: &Waker) {
    let Ok(id) = event.workspace_id.parse::<WorkspaceId>() else {
        return;
    };
    match event.event_type.as_str() {
        // Never a heartbeat: it only proves that a process runs.
        "TASK_UPDATED" => progressing.note(id),
        "ACTIVITY_LOGGED" if is_own_word(event, id) => progressing.note(id),
        "WORKSPACE_ONLINE" | "WORKSPACE_REMOVED" => waker.wake(HashSet::from([id])),
        "WORKSPACE_HEARTBEAT" if is_idle(event) => waker.wake(HashSet::from([id])),
        _ => {}
    }
}

/// A row that the workspace wrote itself. The rows of messages it was sent say
/// nothing about it.
fn is_own_word(event: &pb::Event, id: WorkspaceId) -> bool {
    #[derive(Deserialize)]
    struct Row {
        activity_type: Option<String>,
        source_id: Option<String>,
    }
    serde_json::from_str::<Row>(&event.payload).is_ok_and(|row| {
        row.source_id.is_some_and(|source| source == id.to_string())
            && row.activity_type.as_deref() != Some(crate::record::A2A_RECEIVE)
    })
}

/// A beat that says that nothing is done now.
fn is_idle(event: &pb::Event) -> bool {
    #[derive(Deserialize)]
    struct Beat {
        active_tasks: Option<i32>,
    }
    serde_json::from_str::<Beat>(&event.payload)
        .is_ok_and(|beat| beat.active_tasks.unwrap_or_default() <= 0)
}
