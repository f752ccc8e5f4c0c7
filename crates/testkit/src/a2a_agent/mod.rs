//! An A2A agent that behaves as badly as it is told to, over real sockets.
//!
//! It keeps every request byte for byte, in the order in which they were read, and
//! answers by a [`Behaviour`], set for a path or for all of them. It speaks
//! HTTP/1.1 by hand: most of what it does no server library would let it do.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use candor_testkit::a2a_agent::{A2aAgent, Behaviour, Gate, Pause};
//!
//! let agent = A2aAgent::start().await?;
//! let gate = Gate::closed();
//! agent.set_at("/slow", Behaviour::slow(Pause::Until(gate.clone())));
//! // ... something sends a message to `agent.url_of("/slow")` ...
//! agent.wait_for_requests(1).await?;
//! gate.open(); // now it is answered
//! # Ok(())
//! # }
//! ```

mod answer;
mod behaviour;
mod serve;
mod wire;

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

pub use behaviour::{Behaviour, Gate, Pause};
pub use wire::Received;

use crate::wait::TimedOut;

/// How long a wait for something to happen at the agent may take.
const SOON: Duration = Duration::from_secs(40);
/// Requests that are kept; the connection of a later one is closed, so that a test
/// that floods the agent fails instead of eating memory.
const KEPT: usize = 100_000;

/// A listening agent; its port and its connections are closed when it is dropped.
#[derive(Debug)]
pub struct A2aAgent {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

/// What happened at the agent up to now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that were read to their end.
    pub requests: usize,
    /// Connections that were taken.
    pub connections: usize,
    /// Connections that are open now.
    pub open: usize,
    /// Requests whose sender closed the connection before the whole answer was
    /// written.
    pub abandoned: usize,
    /// Requests whose whole answer was written.
    pub answered: usize,
    /// Bytes of streams that were written, without heads and the framing of chunks.
    pub written: usize,
}

/// What the connections share with the handle.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    counts: watch::Sender<Counts>,
    /// Whether it reads at all.
    is_deaf: watch::Sender<bool>,
    /// The only place of [`Behaviour::Busy`].
    place: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct State {
    /// For paths that have none of their own.
    everywhere: Slot,
    paths: HashMap<String, Slot>,
    requests: Vec<Received>,
    /// Message ids of those whose whole answer was written.
    answered: Vec<String>,
    /// Who has the place of [`Behaviour::Busy`].
    served: Option<Received>,
}

/// A behaviour, and how many requests it was shown to.
#[derive(Debug, Default)]
struct Slot {
    behaviour: Behaviour,
    calls: usize,
}

// === impl A2aAgent ===

impl A2aAgent {
    /// Listens on a free port of the loopback interface; echoes until told otherwise.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), false).await
    }

    /// The same, but it serves one connection at a time, keep-alive included: while
    /// somebody holds one, nobody else is served.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn single_threaded() -> io::Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), true).await
    }

    /// Listens at an address, for instance where an agent was before.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start_at(address: SocketAddr, is_single_threaded: bool) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            counts: watch::Sender::default(),
            is_deaf: watch::Sender::default(),
            place: Arc::new(Semaphore::new(1)),
        });
        let serving = serve::connections(listener, Arc::clone(&shared), is_single_threaded);
        Ok(Self {
            address,
            shared,
            server: tokio::spawn(serving),
        })
    }

    /// Closes the port and every connection; returns when that is done, so that
    /// another agent can take its place.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub async fn stop(mut self) -> Result<(), TimedOut> {
        self.server.abort();
        // It was aborted, which is no news.
        let _ = (&mut self.server).await;
        self.wait("closed connections", |counts| counts.open == 0)
            .await
            .map(|_| ())
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://HOST:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address of a path, which begins with a slash.
    #[must_use]
    pub fn url_of(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Behaves so wherever no path has a behaviour of its own.
    pub fn set(&self, behaviour: Behaviour) {
        let is_deaf = matches!(behaviour, Behaviour::NeverRead);
        self.shared.state().everywhere = Slot::of(behaviour);
        self.shared.is_deaf.send_replace(is_deaf);
    }

    /// Behaves so at a path, without its query. ([`Behaviour::NeverRead`] is for all
    /// of them only: what was not read has no path.)
    pub fn set_at(&self, path: &str, behaviour: Behaviour) {
        let slot = Slot::of(behaviour);
        self.shared.state().paths.insert(path.to_owned(), slot);
    }

    /// Every request up to now, in the order in which they were read.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.shared.state().requests.clone()
    }

    /// The message ids up to now, in the order in which they were read, repeated
    /// ones included; requests without one are left out.
    #[must_use]
    pub fn message_ids(&self) -> Vec<String> {
        let state = self.shared.state();
        let ids = state.requests.iter().filter_map(Received::message_id);
        ids.collect()
    }

    /// The message ids of those whose whole answer was written, in that order,
    /// repeated ones included.
    #[must_use]
    pub fn answered_ids(&self) -> Vec<String> {
        self.shared.state().answered.clone()
    }

    /// The request that a [`Behaviour::Busy`] agent answers now.
    #[must_use]
    pub fn served(&self) -> Option<Received> {
        self.shared.state().served.clone()
    }

    /// What happened up to now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        *self.shared.counts.borrow()
    }

    /// Waits until so many requests were read, and answers all that were.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub async fn wait_for_requests(&self, n: usize) -> Result<Vec<Received>, TimedOut> {
        self.wait(&format!("{n} requests"), |counts| counts.requests >= n)
            .await?;
        Ok(self.requests())
    }

    /// Waits for a condition on what happened; `what` is named if it never holds.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub async fn wait(
        &self,
        what: &str,
        mut condition: impl FnMut(&Counts) -> bool,
    ) -> Result<Counts, TimedOut> {
        let mut counts = self.shared.counts.subscribe();
        let holds = counts.wait_for(|counts| condition(counts));
        if let Ok(Ok(counts)) = tokio::time::timeout(SOON, holds).await {
            return Ok(*counts);
        }
        Err(TimedOut {
            what: format!("{what}; there was {:?}", self.counts()),
            within: SOON,
        })
    }
}

impl Drop for A2aAgent {
    fn drop(&mut self) {
        self.server.abort();
    }
}

// === impl Shared ===

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a request, and says how it is answered; none if too many are kept.
    fn receive(&self, request: &Received) -> Option<Behaviour> {
        let behaviour = {
            let mut state = self.state();
            if state.requests.len() >= KEPT {
                return None;
            }
            state.requests.push(request.clone());
            let State {
                everywhere, paths, ..
            } = &mut *state;
            let slot = paths.get_mut(request.path()).unwrap_or(everywhere);
            slot.calls += 1;
            slot.behaviour.at_call(slot.calls)
        };
        // After it was kept: who is woken finds it.
        self.count(|counts| counts.requests += 1);
        Some(behaviour)
    }

    fn answered(&self, request: &Received) {
        self.state().answered.extend(request.message_id());
        self.count(|counts| counts.answered += 1);
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        self.counts.send_modify(change);
    }
}

// === impl Slot ===

impl Slot {
    const fn of(behaviour: Behaviour) -> Self {
        Self {
            behaviour,
            calls: 0,
        }
    }
}

#[cfg(test)]
mod tests;
