//! What the agent can be told to do.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;

/// How a request is answered.
#[derive(Debug, Clone, Default)]
pub enum Behaviour {
    /// A JSON-RPC message that echoes the first text.
    #[default]
    Echo,
    /// A completed task whose artifact has the first text.
    Task,
    /// A message with a tool trace, and 1,000 and 200 tokens of usage beside it.
    Traced,
    /// A JSON-RPC error, with status 200.
    RpcError,
    /// Exactly this.
    Status {
        /// The status code.
        code: u16,
        /// The body.
        body: Bytes,
        /// The content type; none if empty.
        content_type: String,
        /// Further headers.
        headers: Vec<(String, String)>,
    },
    /// The request is read, and the connection closed without a byte.
    Eof,
    /// So for the first ones since this was set; later ones are echoed.
    EofFirst(usize),
    /// The request is read, and the connection reset without a byte.
    Reset,
    /// The request is read and never answered; the connection stays open.
    Hang,
    /// Connections are taken and not read, until another behaviour is set. A sender
    /// still can write what the kernel's buffers hold, some megabytes: only a longer
    /// body stalls it, a shorter one is sent and never answered.
    NeverRead,
    /// First a pause, then something else.
    After(Pause, Box<Behaviour>),
    /// One request at a time: while one is answered like that, every other one is
    /// read and its connection closed without a byte. Only outermost.
    Busy(Box<Behaviour>),
    /// Status 302 to there.
    Redirect(String),
    /// Server-sent events: so many status updates of a task, the last one final.
    /// The head goes out at once; event n, from 1, once the gate has reached n.
    Stream(usize, Gate),
    /// Server-sent events of a process whose brain is stuck: the head, and a comment
    /// each so long, until the gate is open or has reached 1; then a last status update.
    Pings(Duration, Gate),
    /// The head of an echo and half of the body that it announced, then the end.
    Broken,
    /// An echo whose body has about so many bytes.
    Huge(usize),
    /// Status 200 with a text that is no JSON.
    NotJson,
    /// Status 200 with no body.
    Empty,
}

/// How long a behaviour waits.
#[derive(Debug, Clone)]
pub enum Pause {
    /// A time.
    For(Duration),
    /// Until a gate is open or has reached 1.
    Until(Gate),
}

/// A number that only rises, and who waits for it to reach theirs: what was reached
/// before somebody waits lets them through at once. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate(watch::Sender<usize>);

// === impl Behaviour ===

impl Behaviour {
    /// An echo after a pause.
    #[must_use]
    pub fn slow(pause: Pause) -> Self {
        Self::After(pause, Box::new(Self::Echo))
    }

    /// An agent that does one thing at a time, and each so.
    #[must_use]
    pub fn busy(each: Self) -> Self {
        Self::Busy(Box::new(each))
    }

    /// A status with a JSON body.
    #[must_use]
    pub fn status(code: u16, body: &Value) -> Self {
        Self::Status {
            code,
            body: body.to_string().into(),
            content_type: "application/json".to_owned(),
            headers: Vec::new(),
        }
    }

    /// A stream of so many events that waits for nothing.
    #[must_use]
    pub fn stream(events: usize) -> Self {
        let gate = Gate::closed();
        gate.open();
        Self::Stream(events, gate)
    }

    /// What it comes to at its `call`th request, from 1.
    pub(super) fn at_call(&self, call: usize) -> Self {
        match self {
            Self::EofFirst(first) if call <= *first => Self::Eof,
            Self::EofFirst(_) => Self::Echo,
            Self::After(pause, then) => Self::After(pause.clone(), Box::new(then.at_call(call))),
            Self::Busy(each) => Self::busy(each.at_call(call)),
            other => other.clone(),
        }
    }
}

// === impl Pause ===

impl Pause {
    pub(super) async fn over(&self) {
        match self {
            Self::For(time) => tokio::time::sleep(*time).await,
            Self::Until(gate) => gate.reached(1).await,
        }
    }
}

// === impl Gate ===

impl Gate {
    /// A gate at 0.
    #[must_use]
    pub fn closed() -> Self {
        Self(watch::Sender::new(0))
    }

    /// Lets everybody through, for ever.
    pub fn open(&self) {
        self.raise_to(usize::MAX);
    }

    /// Lets one more step through.
    pub fn raise(&self) {
        self.0.send_modify(|level| *level = level.saturating_add(1));
    }

    /// Lets the steps up to `level` through; never falls.
    pub fn raise_to(&self, level: usize) {
        self.0.send_modify(|now| *now = level.max(*now));
    }

    /// Whether somebody waits at it now.
    #[must_use]
    pub fn is_waited_for(&self) -> bool {
        self.0.receiver_count() > 0
    }

    /// Returns once the gate has reached `level`.
    pub async fn reached(&self, level: usize) {
        // The gate itself keeps its channel open.
        let _ = self.0.subscribe().wait_for(|now| *now >= level).await;
    }
}
