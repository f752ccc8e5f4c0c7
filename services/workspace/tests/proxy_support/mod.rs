//! A sidecar on a socket of its own, and what its callers send.
#![allow(clippy::unwrap_used, dead_code)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use candor_egress::{AddressPolicy, Egress};
use candor_testkit::http::{Answer, Call, Client};
use candor_workspace::proxy::{Proxy, ProxySettings};
use candor_workspace::vitals::Vitals;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Long enough for anything that must happen.
pub const SOON: Duration = Duration::from_secs(30);
/// So long that it does not happen within a test.
pub const NEVER: Duration = Duration::from_secs(3600);

/// A sidecar; it ends with this.
pub struct Sidecar {
    pub address: SocketAddr,
    pub proxy: Proxy,
    pub vitals: Arc<Vitals>,
    tasks: JoinSet<()>,
}

/// Settings by which nothing ends by itself and no canary but the first is sent.
pub fn patient(agent: &str) -> ProxySettings {
    ProxySettings {
        canary_every: NEVER,
        canary_timeout: SOON,
        idle_timeout: NEVER,
        ceiling: NEVER,
        ..ProxySettings::new(agent.parse().unwrap())
    }
}

impl Sidecar {
    /// Listens; sends no canaries.
    pub async fn start(settings: ProxySettings) -> Self {
        let vitals = Vitals::new(&settings.declares());
        let egress = Egress::new(AddressPolicy::Loopback).unwrap();
        let proxy = Proxy::new(settings, Arc::clone(&vitals), egress);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = proxy.router();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            proxy,
            vitals,
            tasks,
        }
    }

    /// Sends canaries from now on.
    pub fn watch(&mut self) {
        let watching = self.proxy.clone().watch(CancellationToken::new());
        self.tasks.spawn(async move { watching.await.unwrap() });
    }

    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    pub async fn ask(&self, call: Call) -> Answer {
        self.client().send(call).await.unwrap()
    }

    /// Waits until the sidecar says that its agent is wedged, and why.
    pub async fn wait_for_wedge(&self) -> String {
        let reason = || async { self.vitals.wedge_reason() };
        let reason = candor_testkit::wait::wait_for("a wedge", SOON, reason).await;
        reason.unwrap().to_string()
    }

    /// Waits until it says so no longer.
    pub async fn wait_for_health(&self) {
        let healthy = || !self.vitals.is_wedged();
        assert!(candor_testkit::wait::wait_until(SOON, healthy).await);
    }
}

/// A message of A2A 0.3.
pub fn message(id: &str, method: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": {"message": {
        "kind": "message", "role": "user", "messageId": id,
        "parts": [{"kind": "text", "text": "hello"}]}}})
}

pub fn send(id: &str) -> Call {
    Call::post("/", &message(id, "message/send"))
}

pub fn stream(id: &str) -> Call {
    Call::post("/", &message(id, "message/stream"))
}

pub fn read() -> Call {
    about_task("tasks/get")
}

/// A call of JSON-RPC without a message, about a task.
pub fn about_task(method: &str) -> Call {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"id": "t"}});
    Call::post("/", &body)
}

/// A message whose body has exactly so many bytes.
pub fn heavy(id: &str, bytes: usize) -> Call {
    let mut body = message(id, "message/send").to_string();
    body.push_str(&" ".repeat(bytes - body.len()));
    Call::new(http::Method::POST, "/").body(body)
}

/// The error that an answer tells: its HTTP status, its reason, its words.
pub fn told(answer: &Answer) -> (u16, String, String) {
    let error = &answer.json()["error"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (
        answer.status,
        text(&error["data"][0]["reason"]),
        text(&error["message"]),
    )
}
