//! `proxy`: the sidecar. It stands before an A2A agent that knows nothing of Candor,
//! passes A2A on to it, beats for it, and finds its wedges from outside.
//!
//! # When the agent is wedged
//! A *sign of life* is any byte of an answer, and in a stream of events any byte of
//! their data. Comments, which servers send to keep a connection (`: ping`), are passed
//! on and count for nothing: the loop of a server sends them whatever became of the
//! brain behind it. The agent is *at work* when it has a
//! message, for [`ProxySettings::idle_timeout`] from its last sign of life, or from
//! the first message after it: agents may have a single thread and be silent for
//! minutes while they think. It is at work as long after an answer that says that its
//! task goes on. The agent is wedged, with the evidence in words, when
//!
//! * two *canaries* in a row (requests for its card) got no answer while it was not at
//!   work, and no sign of life came in between; or it refused connections twice in a
//!   row, at work or not, those of messages among them (a burst of messages counts as
//!   one: an agent that is started anew refuses for a moment); or
//! * [`ProxySettings::unanswered_limit`] messages in a row ran into their idle timeout
//!   without a whole answer, or into their ceiling without a piece of one, whatever its
//!   card says: a heartbeat that outlives its brain is what this process is there to
//!   see through.
//!
//! A frozen agent takes connections (its kernel does) and answers none: with nothing
//! to do it is found by two canaries; in the middle of a message once the idle timeout
//! has passed without a sign of life, at the next canary. While an agent at work leaves
//! one canary waiting no other is sent: they would fill the queue of its listener. Who
//! refuses one is asked again.
//!
//! # What ends a wedge
//! A whole answer to a message, be it a task that failed, and be it late: the answer to a message whose time was
//! over is waited for up to the ceiling, for as many messages as make a wedge. Or an
//! answered canary; but where messages were not answered while canaries were, only
//! after the agent was away: gone, silent altogether, or had closed a connection that
//! it was stuck on, as a restart does.
//!
//! While the wedge stands messages fail at once with its reason, but for one each
//! [`ProxySettings::canary_every`], which is tried. What only reads is always tried.

mod asked;
mod body;
mod call;
mod canary;
mod card;
mod clock;
mod events;
mod executor;
mod fault;
mod forward;
mod judge;
mod out;
mod outcome;
mod state;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use candor_a2a::card::Spoken;
use candor_egress::Egress;
use candor_process::scales::Scales;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use url::Url;

pub use card::CardError;
pub use executor::Declared;

use self::judge::{Judge, Rules};
use crate::vitals::Vitals;

/// How the sidecar treats its agent.
#[derive(Debug, Clone)]
pub struct ProxySettings {
    /// Where the agent listens. A path in it is where it takes JSON-RPC: other paths
    /// are below that one.
    pub agent: Url,
    /// The time between two canaries.
    pub canary_every: Duration,
    /// Longest wait for a card.
    pub canary_timeout: Duration,
    /// A call ends when its agent says nothing for so long: no byte of an answer, and
    /// in a stream no event with data.
    pub idle_timeout: Duration,
    /// Longest time of a call.
    pub ceiling: Duration,
    /// Messages in a row without an answer that are a wedge; at least one.
    pub unanswered_limit: u32,
    /// Messages that the agent is given at a time; as many subscriptions beside them,
    /// and as many other calls.
    pub concurrency: usize,
}

impl ProxySettings {
    /// The defaults, for the agent at this address.
    #[must_use]
    pub fn new(agent: Url) -> Self {
        Self {
            agent,
            canary_every: Duration::from_secs(30),
            canary_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(300),
            ceiling: Duration::from_secs(30 * 60),
            unanswered_limit: 3,
            concurrency: 16,
        }
    }
}

/// The sidecar. Cheap to clone.
#[derive(Clone)]
pub struct Proxy(Arc<Parts>);

struct Parts {
    settings: ProxySettings,
    vitals: Arc<Vitals>,
    egress: Egress,
    judge: Mutex<Judge>,
    /// Places of messages, and of all other calls: what hangs must not keep anybody
    /// from reading a task.
    messages: Arc<Semaphore>,
    others: Arc<Semaphore>,
    /// Places of subscriptions, which last as long as tasks do: they keep nobody from
    /// reading a task, or from ending it.
    subscriptions: Arc<Semaphore>,
    /// Bodies of requests that are read, or not yet sent.
    bodies: Scales,
    /// Places of messages whose answer is waited for although their time is over.
    late: Arc<Semaphore>,
    /// Where callers find this process, once it is known.
    own_url: Mutex<Option<Url>>,
    /// Where the card was found.
    card_url: Mutex<Option<String>>,
    /// What the card says of versions.
    spoken: Mutex<Option<Spoken>>,
}

impl Proxy {
    /// A sidecar that counts in `vitals`, which were made of what
    /// [`ProxySettings::declares`]. Nothing is dialled yet.
    #[must_use]
    pub fn new(settings: ProxySettings, vitals: Arc<Vitals>, egress: Egress) -> Self {
        let rules = Rules {
            idle: settings.idle_timeout,
            unanswered: settings.unanswered_limit,
            given: settings.idle_timeout.min(settings.ceiling),
            canary_every: settings.canary_every,
            agent: settings.agent.to_string(),
        };
        let places = |places: usize| Arc::new(Semaphore::new(places.clamp(1, 4096)));
        let late = usize::try_from(settings.unanswered_limit).unwrap_or(1);
        Self(Arc::new(Parts {
            judge: Mutex::new(Judge::new(rules, Instant::now())),
            messages: places(settings.concurrency),
            others: places(settings.concurrency),
            subscriptions: places(settings.concurrency),
            bodies: Scales::new(body::ALL),
            late: places(late),
            own_url: Mutex::default(),
            card_url: Mutex::default(),
            spoken: Mutex::default(),
            settings,
            vitals,
            egress,
        }))
    }

    /// What callers meet: every path goes to the agent, but `/healthz` (200, or 503
    /// while the wedge stands), `/transcript` (404) and those of the card.
    pub fn router(&self) -> Router {
        forward::router(self.clone())
    }

    /// Where callers find this process: the card at its own address says so, too.
    /// Before, it says what the caller's `host` says.
    pub fn found_at(&self, own_url: Url) {
        *self.0.own_url.lock() = Some(own_url);
    }
}

impl Parts {
    /// The agent's address for a path and query here.
    fn url_of(&self, path: &str) -> String {
        let agent = &self.settings.agent;
        match path {
            "/" => agent[..url::Position::AfterPath].to_owned(),
            path if path.starts_with("/?") && agent.path() != "/" => {
                format!("{}{}", card::base(agent), &path[1..])
            }
            path => format!("{}{path}", card::base(agent)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use candor_egress::AddressPolicy;

    use super::*;

    #[test]
    fn paths_are_below_the_agents_own() {
        let urls = |agent: &str| -> Vec<String> {
            let settings = ProxySettings::new(agent.parse().unwrap());
            let vitals = Vitals::new(&settings.declares());
            let egress = Egress::new(AddressPolicy::Loopback).unwrap();
            let proxy = Proxy::new(settings, vitals, egress);
            let of = |path: &&str| proxy.0.url_of(path);
            ["/", "/?a=1", "/v1/x?b=2", "//other:1/"]
                .iter()
                .map(of)
                .collect()
        };
        for agent in ["http://localhost:1", "http://localhost:1/"] {
            let at_top = ["/", "/?a=1", "/v1/x?b=2", "//other:1/"];
            let at_top = at_top.map(|path| format!("http://localhost:1{path}"));
            assert_eq!(urls(agent), at_top);
        }
        let below = ["", "?a=1", "/v1/x?b=2", "//other:1/"];
        let below = below.map(|path| format!("http://localhost:1/rpc{path}"));
        assert_eq!(urls("http://localhost:1/rpc"), below);
    }
}
