//! What a committed beat tells whoever watches: its task when that changed, and
//! now and then that it beat at all. Neither is stored (contract/activity.md,
//! "Event catalogue").

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use candor_events::{Bus, Envelope};
use candor_kernel::{WorkspaceId, WorkspaceState};
use chrono::Utc;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::store::beats::VitalsRow;
use crate::store::state::Loaded;

/// Between two `WORKSPACE_HEARTBEAT` of one workspace (design: section 12).
const HEARTBEAT_EVERY: Duration = Duration::from_secs(5);
/// Workspaces whose last one is remembered; beyond it all are told again.
const MOST_REMEMBERED: usize = 200_000;

/// Bytes of a task that is remembered for another registry.
const LONGEST_TASK: usize = 4096;
/// A workspace's task changed.
pub(crate) const TASK_UPDATED: &str = "TASK_UPDATED";

/// Tasks that other registries told of, so that a change back is a change here, too.
#[derive(Debug, Clone, Default)]
pub(crate) struct TasksElsewhere(Arc<Mutex<HashMap<WorkspaceId, String>>>);

impl TasksElsewhere {
    /// Learns from an event of another registry.
    pub(crate) fn learn(&self, workspace_id: &str, payload: &str) {
        let payload: Result<Value, _> = serde_json::from_str(payload);
        let (Ok(id), Ok(payload)) = (workspace_id.parse(), payload) else {
            return;
        };
        let Some(task) = payload["current_task"].as_str() else {
            return;
        };
        let mut tasks = self.0.lock();
        if tasks.len() < MOST_REMEMBERED {
            // A long one is not remembered: whatever comes next is told.
            let task = Some(task).filter(|task| task.len() <= LONGEST_TASK);
            tasks.insert(id, task.unwrap_or_default().to_owned());
        }
    }

    fn take(&self, id: WorkspaceId) -> Option<String> {
        self.0.lock().remove(&id)
    }
}

/// Tells the bus of this process.
pub(super) struct News {
    bus: Bus,
    elsewhere: TasksElsewhere,
    last_heartbeat: HashMap<WorkspaceId, Instant>,
}

impl News {
    pub(super) fn new(bus: Bus, elsewhere: TasksElsewhere) -> Self {
        Self {
            bus,
            elsewhere,
            last_heartbeat: HashMap::new(),
        }
    }

    /// Tells about a row that was just committed; `known` is what was known
    /// before, and learns the new task.
    pub(super) fn tell(&mut self, known: &mut Loaded, row: &VitalsRow, after: &WorkspaceState) {
        let active_tasks = row.active_tasks.unwrap_or_default();
        if let Some(task) = self.elsewhere.take(row.id) {
            known.current_task = task;
        }
        if let Some(task) = row
            .current_task
            .as_ref()
            .filter(|t| **t != known.current_task)
        {
            known.current_task.clone_from(task);
            self.publish(
                row.id,
                TASK_UPDATED,
                json!({"active_tasks": active_tasks, "current_task": task}).to_string(),
            );
        }
        if self.is_due(row.id) {
            let uptime_seconds = row.uptime_seconds.or(after.last_uptime).unwrap_or_default();
            self.publish(
                row.id,
                Envelope::HEARTBEAT,
                json!({"active_tasks": active_tasks, "uptime_seconds": uptime_seconds}).to_string(),
            );
        }
    }

    fn is_due(&mut self, id: WorkspaceId) -> bool {
        // Nobody listens: nothing is made, nothing is remembered.
        if !self.bus.has_watchers() {
            return false;
        }
        let now = Instant::now();
        let last = self.last_heartbeat.get(&id);
        if last.is_some_and(|last| now - *last < HEARTBEAT_EVERY) {
            return false;
        }
        if self.last_heartbeat.len() >= MOST_REMEMBERED {
            self.last_heartbeat.clear();
        }
        self.last_heartbeat.insert(id, now);
        true
    }

    fn publish(&self, id: WorkspaceId, event: &str, payload: String) {
        self.bus.publish_transient(Envelope {
            event: event.to_owned(),
            workspace_id: id.to_string(),
            timestamp: Utc::now(),
            payload,
            seq: None,
            foreign: false,
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use candor_events::Notice;
    use candor_kernel::{AuthVersion, StateVersion};

    use super::*;

    fn known() -> Loaded {
        Loaded {
            id: WorkspaceId::from_uuid(uuid::Uuid::from_u128(7)),
            state: WorkspaceState::unborn(false),
            state_version: StateVersion(0),
            auth_version: AuthVersion(0),
            name: "n".to_owned(),
            tier: 1,
            current_task: "old".to_owned(),
        }
    }

    fn row(known: &Loaded, task: Option<&str>) -> VitalsRow {
        VitalsRow {
            id: known.id,
            state_version: known.state_version,
            auth_version: known.auth_version,
            error_rate: None,
            sample_error: None,
            active_tasks: Some(2),
            uptime_seconds: Some(60),
            last_uptime: None,
            current_task: task.map(str::to_owned),
            monthly_spend: None,
            expect_quiet_until: None,
            turn_progress: None,
            change: None,
        }
    }

    #[tokio::test]
    async fn a_task_is_told_when_it_changes_and_heartbeats_are_coalesced() {
        let bus = Bus::new();
        let mut watcher = bus.subscribe();
        let elsewhere = TasksElsewhere::default();
        let mut news = News::new(bus, elsewhere.clone());
        let mut known = known();
        let after = WorkspaceState::unborn(false);
        for task in [Some("old"), Some("new"), Some("new"), None] {
            let row = row(&known, task);
            news.tell(&mut known, &row, &after);
        }
        // Heartbeats come last, whenever they were told.
        let mut told = Vec::new();
        for _ in 0..2 {
            let Some(Notice::Transient(envelope)) = watcher.next().await else {
                panic!("no event");
            };
            told.push((envelope.event.clone(), envelope.payload.clone()));
        }
        assert_eq!(
            told,
            [
                (
                    "TASK_UPDATED".to_owned(),
                    r#"{"active_tasks":2,"current_task":"new"}"#.to_owned()
                ),
                (
                    "WORKSPACE_HEARTBEAT".to_owned(),
                    r#"{"active_tasks":2,"uptime_seconds":60}"#.to_owned()
                ),
            ]
        );
        assert_eq!(known.current_task, "new");
        // Another registry took a beat with another task meanwhile.
        elsewhere.learn(&known.id.to_string(), r#"{"current_task":"elsewhere"}"#);
        let row = row(&known, Some("new"));
        news.tell(&mut known, &row, &after);
        let Some(Notice::Transient(envelope)) = watcher.next().await else {
            panic!("no event");
        };
        assert_eq!(
            envelope.payload,
            r#"{"active_tasks":2,"current_task":"new"}"#
        );
    }
}
