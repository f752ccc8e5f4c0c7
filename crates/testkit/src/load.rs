//! Many clients that beat as fast as they are answered, and write down what
//! they were told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use crate::agent::FakeAgent;
use crate::history::{Effect, History, Operation, Outcome};
use crate::http::{Answer, Call, Client, ClientError};

/// How many beats in a row say the same, before the agent changes its mind.
const RUN: u64 = 5;
/// How long a client waits after an answer that is no acknowledgement.
const PAUSE: Duration = Duration::from_millis(20);

/// Running clients.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<(Tally, Vec<FakeAgent>)>,
}

/// What the clients saw.
#[derive(Debug, Default)]
pub struct Tally {
    /// Every operation.
    pub history: History,
    /// Answers other than 200 and 503, for people; at most some of them.
    pub wrong: Vec<String>,
    /// How many calls were answered by 503.
    pub unavailable: u64,
    /// The slowest answer of any kind.
    pub slowest: Duration,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    acknowledged: AtomicU64,
    unavailable: AtomicU64,
}

/// Keep reports readable.
const KEPT_WRONG: usize = 20;

impl Load {
    /// One client an element of `fleets`, each driving its agents in turn; the
    /// beats of one agent go to the targets in turn. `first` is the number of
    /// the first operation: it has to rise from load to load.
    #[must_use]
    pub fn start(fleets: Vec<Vec<FakeAgent>>, targets: &[SocketAddr], first: u64) -> Self {
        let shared = Arc::new(Shared::default());
        let mut clients = JoinSet::new();
        for agents in fleets {
            let driver = Driver {
                shared: Arc::clone(&shared),
                connections: targets.iter().map(|addr| Client::new(*addr)).collect(),
                tally: Tally::default(),
            };
            clients.spawn(driver.drive(agents, first));
        }
        Self { shared, clients }
    }

    /// How many beats were acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// How many calls were answered by 503 so far.
    #[must_use]
    pub fn unavailable(&self) -> u64 {
        self.shared.unavailable.load(Ordering::Relaxed)
    }

    /// Ends the clients after their current call; answers what they saw, and
    /// their agents for the next load.
    pub async fn finish(mut self) -> (Tally, Vec<Vec<FakeAgent>>) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        let mut fleets = Vec::new();
        while let Some(client) = self.clients.join_next().await {
            match client {
                Ok((tally, agents)) => {
                    all.merge(tally);
                    fleets.push(agents);
                }
                Err(error) => all.wrong.push(format!("a client ended: {error}")),
            }
        }
        (all, fleets)
    }
}

struct Driver {
    shared: Arc<Shared>,
    connections: Vec<Client>,
    tally: Tally,
}

impl Driver {
    async fn drive(mut self, agents: Vec<FakeAgent>, first: u64) -> (Tally, Vec<FakeAgent>) {
        let mut number = first;
        while !self.shared.stop.load(Ordering::Relaxed) {
            for agent in &agents {
                self.beat(agent, number).await;
            }
            number += 1;
        }
        (self.tally, agents)
    }

    async fn beat(&mut self, agent: &FakeAgent, number: u64) {
        let effect = match (number / RUN) % 2 {
            0 => Effect::Healthy,
            _ => Effect::Wedged,
        };
        let mark = format!("{}#{number}", agent.id);
        let call = beat_call(agent, number, effect, &mark);
        // The turn changes within a run too, so that every process sees both
        // first and repeated beats of each kind.
        let turn = usize::try_from(number).unwrap_or_default() % self.connections.len().max(1);
        let Some(connection) = self.connections.get_mut(turn) else {
            return;
        };
        let sent = Instant::now();
        let answer = connection.send(call).await;
        self.tally.slowest = self.tally.slowest.max(sent.elapsed());
        let outcome = self.judge(answer);
        let operation = Operation {
            mark,
            effect,
            outcome,
        };
        self.tally.history.push(&agent.id, operation);
        if outcome == Outcome::Acknowledged {
            self.shared.acknowledged.fetch_add(1, Ordering::Relaxed);
        } else {
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn judge(&mut self, answer: Result<Answer, ClientError>) -> Outcome {
        match answer {
            Ok(answer) if answer.status == 200 && answer.json()["workspace"].is_null() => {
                Outcome::Acknowledged
            }
            Ok(answer) if answer.status == 503 => {
                self.tally.unavailable += 1;
                self.shared.unavailable.fetch_add(1, Ordering::Relaxed);
                Outcome::Unknown
            }
            Ok(answer) => {
                if self.tally.wrong.len() < KEPT_WRONG {
                    let wrong = format!("{} {}", answer.status, answer.text());
                    self.tally.wrong.push(wrong);
                }
                Outcome::Refused
            }
            Err(ClientError::Connect(_) | ClientError::Malformed(_)) => Outcome::Refused,
            Err(ClientError::Exchange(_) | ClientError::Deadline(_)) => Outcome::Unknown,
        }
    }
}

fn beat_call(agent: &FakeAgent, number: u64, effect: Effect, mark: &str) -> Call {
    let mut body = json!({"workspace_id": agent.id, "error_rate": 0.0, "sample_error": mark,
        "active_tasks": 0, "current_task": "", "uptime_seconds": number + 1});
    if effect == Effect::Wedged {
        body["runtime_state"] = json!("wedged");
    }
    Call::post("/registry/heartbeat", &body).bearer(&agent.token)
}

impl Tally {
    fn merge(&mut self, other: Self) {
        self.history.merge(other.history);
        self.wrong.extend(other.wrong);
        self.wrong.truncate(KEPT_WRONG);
        self.unavailable += other.unavailable;
        self.slowest = self.slowest.max(other.slowest);
    }
}
