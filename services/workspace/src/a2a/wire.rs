//! What is said of tasks, in A2A 1.0: ProtoJSON of `lf.a2a.v1`, as far as this agent
//! has something to say.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use uuid::Uuid;

/// The id of a task's one artifact: the answer.
pub(super) const ANSWER: &str = "answer";

/// The member of a task's metadata that says what of its answer is not kept, and its
/// members: how many bytes the whole text, and all metadata, had.
pub(super) const CUT: &str = "cut";
pub(super) const ANSWER_BYTES: &str = "answer_bytes";
pub(super) const METADATA_BYTES: &str = "metadata_bytes";

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum State {
    #[serde(rename = "TASK_STATE_SUBMITTED")]
    Submitted,
    #[serde(rename = "TASK_STATE_WORKING")]
    Working,
    #[serde(rename = "TASK_STATE_COMPLETED")]
    Completed,
    #[serde(rename = "TASK_STATE_FAILED")]
    Failed,
    #[serde(rename = "TASK_STATE_CANCELED")]
    Canceled,
}

impl State {
    /// Nothing follows.
    pub(super) const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled)
    }
}

/// A state, since when, and what the agent says to it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Status {
    pub state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
    #[serde(serialize_with = "timestamp")]
    pub timestamp: DateTime<Utc>,
}

impl Status {
    pub(super) fn now(state: State, message: Option<Message>) -> Self {
        Self {
            state,
            message,
            timestamp: Utc::now(),
        }
    }
}

fn timestamp<S: Serializer>(time: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// A part that is text: the agent's words are nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Part {
    pub text: String,
}

/// What the agent says.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Message {
    pub message_id: String,
    pub context_id: String,
    pub task_id: String,
    pub role: &'static str,
    pub parts: Vec<Part>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

impl Message {
    /// The agent's words in this task.
    pub(super) fn of_agent(task_id: &str, context_id: &str, text: impl Into<String>) -> Self {
        Self {
            message_id: Uuid::new_v4().to_string(),
            context_id: context_id.to_owned(),
            task_id: task_id.to_owned(),
            role: "ROLE_AGENT",
            parts: vec![Part { text: text.into() }],
            metadata: Map::new(),
        }
    }
}

/// What came of a task.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Artifact {
    pub artifact_id: &'static str,
    pub parts: Vec<Part>,
}

impl Artifact {
    pub(super) fn of(text: String) -> Self {
        Self {
            artifact_id: ANSWER,
            parts: vec![Part { text }],
        }
    }
}

/// One turn, as others see it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Task {
    pub id: String,
    pub context_id: String,
    pub status: Status,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
    /// What it was asked: the caller's message, as far as it is kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

impl Task {
    /// So many messages of the history, the newest ones; all without a number.
    pub(super) fn with_history(mut self, most: Option<usize>) -> Self {
        if let Some(most) = most {
            let older = self.history.len().saturating_sub(most);
            self.history.drain(..older);
        }
        self
    }
}

/// A task changed its state, or says what it does.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusUpdate {
    pub task_id: String,
    pub context_id: String,
    pub status: Status,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

/// More of the answer.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ArtifactUpdate {
    pub task_id: String,
    pub context_id: String,
    pub artifact: Artifact,
    pub append: bool,
    pub last_chunk: bool,
}

/// A `SendMessageResponse`, or one event of a stream.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Payload {
    Task(Task),
    Message(Message),
    StatusUpdate(StatusUpdate),
    ArtifactUpdate(ArtifactUpdate),
}

/// A page of tasks.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    pub tasks: Vec<Task>,
    pub next_page_token: String,
    pub page_size: usize,
    pub total_size: usize,
}
