//! The A2A server: what callers speak to, over JSON-RPC, in A2A 0.3 and 1.0.
//!
//! It is written once, in 1.0; what 0.3 says differently is translated on the way in
//! and on the way out (`candor_a2a::translate`). A message becomes a task, and its turn
//! lives apart from every connection: whoever leaves ends nothing (A2A 1.0.1, section
//! 3.5.2). Tasks are in memory, and no more of them than [`store`] bounds.

mod again;
mod authority;
mod body;
mod card;
mod digest;
mod health;
mod message;
mod reply;
mod rpc;
mod send;
mod sse;
mod store;
mod tasks;
mod transcript;
mod turn;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use candor_kernel::WorkspaceId;
use candor_process::scales::Scales;
use tokio::sync::Semaphore;

pub use card::{Card, Skill};

use self::card::Published;
use self::store::Store;
use crate::token::TokenStore;
use crate::turns::Turns;

/// What the server bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Streams of events that are open at a time; one more is told to come again.
    pub streams: usize,
    /// Bytes of all requests that are being read, wait or are worked on.
    pub requests: usize,
    /// Bytes of all events that were told and not read yet. Beyond them a stream
    /// misses events, is told so and ends.
    pub unread: usize,
    /// How long the reader of a stream may take to take an event. Long enough for one
    /// that is busy; who takes longer is gone, and holds what others could use.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams: 128,
            requests: 64 * 1024 * 1024,
            unread: 64 * 1024 * 1024,
            patience: Duration::from_secs(30),
        }
    }
}

/// What is served.
#[derive(Clone)]
pub struct Served {
    /// Where messages become answers.
    pub turns: Turns,
    /// Whose agent this is.
    pub workspace: WorkspaceId,
    /// What the readers of the transcript and of all tasks must prove to know.
    pub tokens: Arc<TokenStore>,
    /// What the agent tells of itself.
    pub card: Card,
    /// What is borne.
    pub limits: Limits,
}

/// What every request finds.
struct Server {
    turns: Turns,
    workspace: WorkspaceId,
    tokens: Arc<TokenStore>,
    streaming: bool,
    card: Published,
    store: Arc<Store>,
    streams: Arc<Semaphore>,
    requests: Scales,
    unread: Scales,
    patience: Duration,
}

/// The routes: JSON-RPC at `/` and `/a2a`, the card, the transcript, the health.
pub fn router(served: Served) -> Router {
    let limits = served.limits;
    let unread = Scales::new(limits.unread);
    let server = Arc::new(Server {
        turns: served.turns,
        workspace: served.workspace,
        tokens: served.tokens,
        streaming: served.card.streaming,
        card: Published::of(&served.card),
        store: Arc::new(Store::new(store::Limits::default(), unread.clone())),
        streams: Arc::new(Semaphore::new(limits.streams)),
        requests: Scales::new(limits.requests),
        unread,
        patience: limits.patience,
    });
    Router::new()
        .route("/", post(rpc::call))
        .route("/a2a", post(rpc::call))
        .route("/.well-known/agent-card.json", get(card::get))
        .route("/.well-known/agent.json", get(card::get))
        .route("/transcript", get(transcript::get))
        .route("/healthz", get(health::get))
        .with_state(server)
}
