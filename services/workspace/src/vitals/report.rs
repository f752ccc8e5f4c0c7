//! What one beat says, and how it is written: as the legacy JSON, and as the RPC's
//! message.

use std::time::Duration;

use candor_kernel::TurnProgress;
use candor_proto::registry::v1 as pb;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use crate::executor::Capabilities;

/// One full beat.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Share of failed turns, 0 to 1.
    pub error_rate: f64,
    /// One of their errors, or the reason of the wedge.
    pub sample_error: String,
    /// Turns that run or wait.
    pub active_tasks: i32,
    /// What the newest of them is about.
    pub current_task: String,
    /// Age of the process, in seconds.
    pub uptime_seconds: i32,
    /// Empty, or `wedged`.
    pub runtime_state: &'static str,
    /// What the executor does itself.
    pub capabilities: Capabilities,
    /// How long it may say nothing while it works.
    pub idle_budget: Option<Duration>,
    /// No beat is to be expected before then.
    pub quiet_until: Option<DateTime<Utc>>,
    /// How far the agent has come.
    pub progress: TurnProgress,
}

impl Report {
    /// Layers a wedge over what else is known.
    pub(super) fn wedged(&mut self, reason: &str) {
        self.runtime_state = "wedged";
        reason.clone_into(&mut self.sample_error);
    }

    /// The body of `POST /registry/heartbeat` (contract/registry.md). A healthy
    /// runtime has no `runtime_state`, as the legacy ones.
    #[must_use]
    pub fn to_json(&self, workspace_id: &str) -> Value {
        let mut metadata = Map::new();
        metadata.insert("capabilities".into(), json!(self.capabilities));
        if let Some(budget) = self.idle_budget {
            metadata.insert("idle_timeout_seconds".into(), budget.as_secs().into());
        }
        let mut beat = json!({
            "workspace_id": workspace_id,
            "error_rate": self.error_rate,
            "sample_error": self.sample_error,
            "active_tasks": self.active_tasks,
            "current_task": self.current_task,
            "uptime_seconds": self.uptime_seconds,
            "runtime_metadata": metadata,
            "turn_progress": self.progress,
        });
        if !self.runtime_state.is_empty() {
            beat["runtime_state"] = self.runtime_state.into();
        }
        if let Some(until) = self.quiet_until {
            let until = until.to_rfc3339_opts(SecondsFormat::Millis, true);
            beat["expect_quiet_until"] = until.into();
        }
        beat
    }

    /// The message of the Heartbeat RPC.
    #[must_use]
    pub fn to_message(&self, workspace_id: &str) -> pb::HeartbeatRequest {
        let capabilities = self.capabilities.iter();
        pb::HeartbeatRequest {
            workspace_id: workspace_id.to_owned(),
            error_rate: Some(self.error_rate),
            sample_error: Some(self.sample_error.clone()),
            active_tasks: Some(self.active_tasks),
            uptime_seconds: Some(self.uptime_seconds),
            current_task: Some(self.current_task.clone()),
            monthly_spend: None,
            runtime_state: Some(self.runtime_state.to_owned()),
            runtime_metadata: Some(pb::RuntimeMetadata {
                capabilities: capabilities
                    .map(|(name, on)| ((*name).to_owned(), *on))
                    .collect(),
                idle_timeout_seconds: self
                    .idle_budget
                    .map(|budget| i64::try_from(budget.as_secs()).unwrap_or(i64::MAX)),
            }),
            expect_quiet_until: self.quiet_until.map(|until| prost_types::Timestamp {
                seconds: until.timestamp(),
                nanos: i32::try_from(until.timestamp_subsec_nanos()).unwrap_or_default(),
            }),
            form: pb::BeatForm::Unspecified.into(),
            turn_progress: Some(pb::TurnProgress {
                begun: self.progress.begun,
                answered: self.progress.answered,
                failed: self.progress.failed,
                moved: self.progress.moved,
            }),
        }
    }
}
