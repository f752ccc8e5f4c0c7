//! The platform as an agent's runtime sees it: over real sockets, with answers that a
//! test writes down, and every request kept.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use candor_testkit::fake_platform::{FakePlatform, Scripted};
//! use serde_json::json;
//!
//! let platform = FakePlatform::start().await?;
//! platform.script(
//!     "POST",
//!     "/registry/heartbeat",
//!     [Scripted::json(401, json!({"error": "missing workspace auth token"})),
//!      Scripted::json(200, json!({"status": "ok"}))],
//! );
//! // ... something beats at `platform.url()` ...
//! let beats = platform.wait_for_requests("POST", "/registry/heartbeat", 2).await?;
//! assert_eq!(beats[1].json()["active_tasks"], 0);
//! # Ok(())
//! # }
//! ```

use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::a2a_agent::Gate;
use crate::wait::{TimedOut, wait_for};

/// How long a wait for requests may take.
const SOON: Duration = Duration::from_secs(40);
/// Largest body that is read, in bytes.
const LARGEST: usize = 16 * 1024 * 1024;
/// Requests that are kept; later ones are answered with 500, so that a test that
/// floods the platform fails instead of eating memory.
const KEPT: usize = 100_000;

/// A request as it was read.
#[derive(Debug, Clone)]
pub struct Received {
    /// The method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query; empty without one.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// What a request is answered with.
#[derive(Debug, Clone)]
pub enum Scripted {
    /// A status and a JSON body.
    Json(u16, Value),
    /// Nothing, for as long as the platform lives.
    Hang,
    /// 200, and a body that breaks off.
    Broken,
    /// As the inner one, once the gate is open.
    After(Gate, Box<Self>),
}

type Answering = Arc<dyn Fn(&Received) -> Scripted + Send + Sync>;

#[derive(Default)]
struct Shared {
    state: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    requests: Vec<Received>,
    answers: HashMap<(String, String), Answering>,
}

/// A listening platform; its port is closed when it is dropped.
pub struct FakePlatform {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

// === impl Received ===

impl Received {
    /// The body as JSON; `null` if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A query parameter's value, as it was written.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let pairs = self
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        let mut values = pairs.filter(|(key, _)| *key == name);
        values.next().map(|(_, value)| value)
    }

    /// What this request lacks of the proof that every call of a runtime carries: the
    /// token, the workspace, the trace.
    #[must_use]
    pub fn lacks(&self, workspace: &str, token: &str) -> Vec<&'static str> {
        let bearer = format!("Bearer {token}");
        let proof = [
            (
                "authorization",
                self.header("authorization") == Some(bearer.as_str()),
            ),
            (
                "x-workspace-id",
                self.header("x-workspace-id") == Some(workspace),
            ),
            ("traceparent", self.header("traceparent").is_some()),
        ];
        let lacking = proof.into_iter().filter(|(_, is_there)| !is_there);
        lacking.map(|(name, _)| name).collect()
    }
}

// === impl Scripted ===

impl Scripted {
    /// A status and a JSON body.
    #[must_use]
    pub const fn json(status: u16, body: Value) -> Self {
        Self::Json(status, body)
    }

    /// 200 with a JSON body.
    #[must_use]
    pub const fn ok(body: Value) -> Self {
        Self::Json(200, body)
    }

    /// This one, once `gate` is open.
    #[must_use]
    pub fn after(self, gate: &Gate) -> Self {
        Self::After(gate.clone(), Box::new(self))
    }
}

// === impl FakePlatform ===

impl std::fmt::Debug for FakePlatform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakePlatform")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Drop for FakePlatform {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl FakePlatform {
    /// A platform on a free port of loopback. What no answer is written down for is
    /// 404.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::<Shared>::default();
        let router = Router::new()
            .fallback(received)
            .with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            // It ends with the task.
            axum::serve(listener, router).await.ok();
        });
        Ok(Self {
            address,
            shared,
            server,
        })
    }

    /// Where it listens, as `PLATFORM_URL` says it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers every request to this route so, from now on.
    pub fn answer(&self, method: &str, path: &str, answer: Scripted) {
        self.answer_with(method, path, move |_| answer.clone());
    }

    /// Answers requests to this route in turn, and the last answer stays.
    pub fn script(&self, method: &str, path: &str, answers: impl IntoIterator<Item = Scripted>) {
        let answers: Vec<Scripted> = answers.into_iter().collect();
        let next = Mutex::new(0);
        self.answer_with(method, path, move |_| {
            let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
            let answer = answers.get(*next).or(answers.last()).cloned();
            *next += 1;
            answer.unwrap_or_else(unscripted)
        });
    }

    /// Answers every request to this route by what it says, from now on.
    pub fn answer_with(
        &self,
        method: &str,
        path: &str,
        answering: impl Fn(&Received) -> Scripted + Send + Sync + 'static,
    ) {
        let route = (method.to_owned(), path.to_owned());
        self.shared
            .held()
            .answers
            .insert(route, Arc::new(answering));
    }

    /// Every request so far, in the order in which they were read.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.shared.held().requests.clone()
    }

    /// The requests to one route so far.
    #[must_use]
    pub fn requests_to(&self, method: &str, path: &str) -> Vec<Received> {
        let held = self.shared.held();
        let to = held.requests.iter();
        to.filter(|one| one.method == method && one.path == path)
            .cloned()
            .collect()
    }

    /// Waits until there were so many requests to this route, and answers them.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub async fn wait_for_requests(
        &self,
        method: &str,
        path: &str,
        number: usize,
    ) -> Result<Vec<Received>, TimedOut> {
        let what = format!("request {number} to {method} {path}");
        wait_for(&what, SOON, || async {
            let found = self.requests_to(method, path);
            (found.len() >= number).then_some(found)
        })
        .await
    }

    /// What requests lack of the proof that every call of a runtime carries, by route;
    /// empty if nothing does.
    #[must_use]
    pub fn unproven(&self, workspace: &str, token: &str) -> Vec<String> {
        let requests = self.requests().into_iter();
        let lacking = requests.map(|one| (one.lacks(workspace, token), one));
        lacking
            .filter(|(lacks, _)| !lacks.is_empty())
            .map(|(lacks, one)| format!("{} {}: {}", one.method, one.path, lacks.join(", ")))
            .collect()
    }
}

// === impl Shared ===

impl Shared {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unscripted() -> Scripted {
    Scripted::Json(404, json!({"error": "not written down"}))
}

async fn received(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, LARGEST).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let request = Received {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body,
    };
    let answering = {
        let mut held = shared.held();
        if held.requests.len() >= KEPT {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        held.requests.push(request.clone());
        let route = (request.method.clone(), request.path.clone());
        held.answers.get(&route).cloned()
    };
    let mut answer = answering.map_or_else(unscripted, |answering| answering(&request));
    loop {
        match answer {
            Scripted::Json(status, body) => {
                let status = StatusCode::from_u16(status).unwrap_or_default();
                return (status, axum::Json(body)).into_response();
            }
            Scripted::Hang => pending().await,
            Scripted::Broken => {
                let lost = Err::<Bytes, _>(io::Error::from(io::ErrorKind::ConnectionReset));
                return Body::from_stream(tokio_stream::once(lost)).into_response();
            }
            Scripted::After(gate, then) => {
                gate.reached(1).await;
                answer = *then;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::http::{Call, Client};

    #[tokio::test]
    async fn requests_are_kept_and_answered_in_turn() {
        let platform = FakePlatform::start().await.unwrap();
        platform.script(
            "POST",
            "/a",
            [
                Scripted::json(503, json!({"error": "later"})),
                Scripted::ok(json!({"status": "ok"})),
            ],
        );
        let mut client = Client::new(platform.address);
        for status in [503, 200, 200] {
            let call = Call::post("/a?x=1&y=2", &json!({"n": status})).bearer("t");
            assert_eq!(client.send(call).await.unwrap().status, status);
        }
        assert_eq!(client.send(Call::get("/b")).await.unwrap().status, 404);
        let kept = platform.wait_for_requests("POST", "/a", 3).await.unwrap();
        assert_eq!(kept[2].json(), json!({"n": 200}));
        assert_eq!(kept[0].parameter("y"), Some("2"));
        assert_eq!(kept[0].lacks("w", "t"), ["x-workspace-id", "traceparent"]);
        assert_eq!(platform.unproven("w", "t").len(), 4);
    }
}
