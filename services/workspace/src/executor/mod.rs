//! What does the agent's work: one turn for each message.

mod child;
pub mod claude;
pub mod command;
pub mod echo;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::wedge::{Detector, Recovery};

/// What a turn is about.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// The text parts of the message, one below the other.
    pub text: String,
    /// The conversation that the message belongs to.
    pub context_id: String,
    /// The task that the turn is.
    pub task_id: String,
}

/// What can be said of a turn while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// The next piece of the answer.
    Text(String),
    /// The agent uses a tool.
    Tool {
        /// The tool's name.
        name: String,
        /// What it is used for, for people; short.
        summary: String,
    },
}

/// Sees the updates of every turn, whoever asked for it. It must not wait.
pub trait Observer: Send + Sync + 'static {
    /// An update, before whoever asked is told.
    fn observe(&self, update: &Update);
}

/// Where a turn's updates go: bounded, and never waited for. Who does not read in
/// time misses updates, not the answer.
#[derive(Clone)]
pub struct Updates {
    reader: mpsc::Sender<Update>,
    observer: Option<Arc<dyn Observer>>,
}

impl fmt::Debug for Updates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Updates").finish_non_exhaustive()
    }
}

/// Updates of a turn that nobody has read yet.
const UNREAD: usize = 256;

impl Updates {
    /// A sender, and where what it is told comes out.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Update>) {
        let (reader, receiver) = mpsc::channel(UNREAD);
        let observer = None;
        (Self { reader, observer }, receiver)
    }

    /// The same, seen by an observer as well.
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn Observer>) -> Self {
        let observer = Some(observer);
        Self { observer, ..self }
    }

    /// Tells it, if there is room.
    pub fn tell(&self, update: Update) {
        if let Some(observer) = &self.observer {
            observer.observe(&update);
        }
        // Whoever has gone, or is too slow, has the answer at the end.
        let _missed = self.reader.try_send(update);
    }
}

/// What a turn is given.
#[derive(Debug, Clone)]
pub struct Turn {
    /// What it is about.
    pub prompt: Prompt,
    /// Where its updates go.
    pub updates: Updates,
    /// Whoever asked wants it to end.
    pub cancel: CancellationToken,
}

/// What came of a turn.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// The agent's words.
    pub text: String,
    /// What is told beside them: `tool_trace`, `usage` (contract/a2a.md).
    pub metadata: Map<String, Value>,
}

/// Why a turn has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TurnError {
    /// It was tried and failed: the formatted error, with what the agent's program
    /// wrote to its standard error.
    #[error("{0}")]
    Failed(String),
    /// The agent cannot answer any more; nothing was tried.
    #[error("{0}")]
    Wedged(String),
    /// Too many turns wait already; nothing was tried.
    #[error("the agent is busy: {0} turns wait already")]
    Busy(usize),
    /// This is no longer the workspace's agent; nothing was tried.
    #[error("{0}")]
    Retired(&'static str),
    /// Whoever asked ended it.
    #[error("the task was cancelled")]
    Cancelled,
}

/// What the platform is told of a runtime in every full beat.
pub type Capabilities = BTreeMap<&'static str, bool>;

/// An agent's work.
#[async_trait]
pub trait Executor: Send + Sync + 'static {
    /// Its name, as `--executor` writes it.
    fn name(&self) -> &'static str;

    /// What it does itself, so that the platform does not (contract/registry.md).
    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
    }

    /// How long it may say nothing while it works; the platform's default without.
    fn idle_budget(&self) -> Option<Duration> {
        None
    }

    /// Its errors that are beyond recovery; one without never sets the wedge.
    fn detector(&self) -> Option<&'static Detector> {
        None
    }

    /// What ends its wedge.
    fn recovery(&self) -> Recovery {
        Recovery::NewProcess
    }

    /// Turns that run at a time; others wait.
    fn parallel(&self) -> usize {
        1
    }

    /// One turn, to its end. When `turn.cancel` is cancelled it ends soon.
    ///
    /// # Errors
    /// [`TurnError::Failed`], [`TurnError::Cancelled`].
    async fn turn(&self, turn: Turn) -> Result<Answer, TurnError>;

    /// The session's entries from `since` on, at most `limit`; nothing where no such
    /// thing is kept.
    async fn transcript(&self, since: u64, limit: usize) -> Option<Value> {
        let _ = (since, limit);
        None
    }
}
