//! An agent that caches its token, never tries again, and beats every 100 ms.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use candor_kernel::{Epoch, WorkspaceId};
use candor_testkit::http::{Call, Client};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// What agents were answered.
#[derive(Debug, Clone, Default)]
pub struct Journal(Arc<Mutex<Vec<Entry>>>);

/// One answer.
#[derive(Debug, Clone)]
pub struct Entry {
    pub workspace: WorkspaceId,
    pub epoch: i64,
    pub what: &'static str,
    pub status: u16,
    pub body: Value,
}

impl Journal {
    pub fn of(&self, workspace: WorkspaceId) -> Vec<Entry> {
        let all = self.0.lock();
        let ours = all.iter().filter(|entry| entry.workspace == workspace);
        ours.cloned().collect()
    }

    /// Answers other than 200.
    pub fn refused(&self) -> Vec<Entry> {
        let all = self.0.lock();
        let refused = all.iter().filter(|entry| entry.status != 200);
        refused.cloned().collect()
    }
}

/// How an agent behaves.
#[derive(Debug, Clone, Default)]
pub struct Manner {
    /// It says that it is wedged.
    pub wedged: bool,
    /// It never calls.
    pub mute: bool,
    /// Tasks that it says it works on.
    pub active_tasks: i32,
}

/// One instance.
pub struct Agent {
    workspace: WorkspaceId,
    epoch: Epoch,
    token: String,
    manner: Manner,
    client: Client,
}

impl Agent {
    pub fn new(
        workspace: WorkspaceId,
        epoch: Epoch,
        token: String,
        manner: Manner,
        platform: SocketAddr,
    ) -> Self {
        Self {
            workspace,
            epoch,
            token,
            manner,
            client: Client::new(platform),
        }
    }

    /// Registers once, then beats until it is stopped.
    pub async fn live(mut self, journal: Journal, stop: CancellationToken) {
        if self.manner.mute {
            return;
        }
        let card = json!({"name": "scripted", "skills": []});
        let register = json!({
            "id": self.workspace.to_string(), "url": "http://127.0.0.1:9", "agent_card": card,
        });
        self.say(&journal, "register", "/registry/register", register)
            .await;
        let mut every = tokio::time::interval(Duration::from_millis(100));
        let mut uptime = 0;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = every.tick() => {}
            }
            uptime += 1;
            let state = if self.manner.wedged { "wedged" } else { "" };
            let beat = json!({
                "workspace_id": self.workspace.to_string(), "error_rate": 0.0,
                "sample_error": if self.manner.wedged { "Control request timeout: initialize" } else { "" },
                "active_tasks": self.manner.active_tasks, "uptime_seconds": uptime, "runtime_state": state,
            });
            self.say(&journal, "beat", "/registry/heartbeat", beat)
                .await;
        }
    }

    async fn say(&mut self, journal: &Journal, what: &'static str, path: &str, body: Value) {
        let call = Call::post(path, &body).bearer(&self.token);
        // A platform that is gone is no answer.
        if let Ok(answer) = self.client.send(call).await {
            journal.0.lock().push(Entry {
                workspace: self.workspace,
                epoch: self.epoch.0,
                what,
                status: answer.status,
                body: serde_json::from_slice(&answer.body).unwrap_or_default(),
            });
        }
    }
}
