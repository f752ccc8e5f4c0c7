//! The A2A server over a real socket, before an executor that does what the test says,
//! step by step.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use candor_kernel::WorkspaceId;
use candor_testkit::http::{Answer as HttpAnswer, Call, Client, Opened};
use candor_workspace::a2a::{self, Card, Limits, Served, Skill};
use candor_workspace::executor::{Answer, Executor, Turn, TurnError, Update};
use candor_workspace::token::TokenStore;
use candor_workspace::turns::Turns;
use candor_workspace::vitals::Vitals;
use candor_workspace::wedge::Detector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Longer than anything takes.
pub const SOON: Duration = Duration::from_secs(20);
/// The workspace's token, unless a test sets another one, or none.
pub const TOKEN: &str = "the-workspace-token";

/// What the agent does next.
pub enum Step {
    Text(&'static str),
    Tool(&'static str, &'static str),
    /// So many uses of a tool, one after the other.
    Tools(usize),
    Answer(Answer),
    Fail(&'static str),
    Panic,
}

pub struct Scripted {
    steps: Mutex<mpsc::Receiver<Step>>,
    parallel: usize,
    transcript: Option<Value>,
}

static DETECTOR: Detector = Detector(&["control request timeout"]);

#[async_trait]
impl Executor for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn parallel(&self) -> usize {
        self.parallel
    }

    fn detector(&self) -> Option<&'static Detector> {
        Some(&DETECTOR)
    }

    async fn turn(&self, turn: Turn) -> Result<Answer, TurnError> {
        let mut steps = self.steps.lock().await;
        while let Some(step) = steps.recv().await {
            match step {
                Step::Text(text) => turn.updates.tell(Update::Text(text.into())),
                Step::Tool(name, summary) => turn.updates.tell(tool(name, summary)),
                Step::Tools(count) => {
                    for _ in 0..count {
                        turn.updates.tell(tool("Bash", &"x".repeat(300)));
                        tokio::task::yield_now().await;
                    }
                }
                Step::Answer(answer) => return Ok(answer),
                Step::Fail(error) => return Err(TurnError::Failed(error.into())),
                Step::Panic => panic!("a step of this test"),
            }
        }
        Err(TurnError::Failed("no more steps".into()))
    }

    async fn transcript(&self, since: u64, limit: usize) -> Option<Value> {
        let lines = self.transcript.clone()?;
        Some(json!({"lines": lines, "since": since, "limit": limit}))
    }
}

fn tool(name: &str, summary: &str) -> Update {
    Update::Tool {
        name: name.into(),
        summary: summary.into(),
    }
}

/// How a stage differs from the usual one.
pub struct Setting {
    pub parallel: usize,
    pub streaming: bool,
    pub transcript: Option<Value>,
    pub token: Option<&'static str>,
    pub limits: Limits,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            parallel: 1,
            streaming: true,
            transcript: None,
            token: Some(TOKEN),
            limits: Limits::default(),
        }
    }
}

/// A running server.
pub struct Stage {
    pub addr: SocketAddr,
    pub vitals: Arc<Vitals>,
    pub workspace: WorkspaceId,
    pub card: Card,
    steps: mpsc::Sender<Step>,
    server: JoinHandle<()>,
    _folder: TempDir,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Stage {
    pub async fn new() -> Self {
        Self::with(Setting::default()).await
    }

    pub async fn with(setting: Setting) -> Self {
        let (steps, receiver) = mpsc::channel(64);
        let executor = Scripted {
            steps: Mutex::new(receiver),
            parallel: setting.parallel,
            transcript: setting.transcript,
        };
        let vitals = Vitals::new(&executor);
        let folder = tempfile::tempdir().unwrap();
        let tokens = TokenStore::open(folder.path()).unwrap();
        if let Some(token) = setting.token {
            tokens.save(token).unwrap();
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let card = card(addr, setting.streaming);
        let workspace = WorkspaceId::from_uuid(Uuid::from_u128(7));
        let router = a2a::router(Served {
            turns: Turns::new(Arc::new(executor), Arc::clone(&vitals)),
            workspace,
            tokens: Arc::new(tokens),
            card: card.clone(),
            limits: setting.limits,
        });
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            addr,
            vitals,
            workspace,
            card,
            steps,
            server,
            _folder: folder,
        }
    }

    /// What the agent does next.
    pub async fn does(&self, step: Step) {
        assert!(self.steps.send(step).await.is_ok());
    }

    /// It answers this.
    pub async fn answers(&self, text: &str) {
        let text = text.to_owned();
        self.does(Step::Answer(Answer {
            text,
            ..Answer::default()
        }))
        .await;
    }

    pub async fn send(&self, call: Call) -> HttpAnswer {
        Client::new(self.addr).send(call).await.unwrap()
    }

    /// The whole response to a request of JSON-RPC.
    pub async fn call(&self, method: &str, params: Value) -> Value {
        self.told(rpc(method, &params)).await
    }

    /// The tasks, listed by who has the workspace's token.
    pub async fn lists(&self, method: &str, params: Value) -> Value {
        self.told(rpc(method, &params).bearer(TOKEN)).await
    }

    async fn told(&self, call: Call) -> Value {
        let answer = self.send(call).await;
        assert_eq!(
            answer.header("content-type"),
            "application/json",
            "{}",
            answer.text()
        );
        answer.json()
    }

    /// The same, later.
    pub fn calls(&self, method: &str, params: Value) -> JoinHandle<HttpAnswer> {
        let (addr, call) = (self.addr, rpc(method, &params));
        tokio::spawn(async move { Client::new(addr).send(call).await.unwrap() })
    }

    pub async fn stream(&self, method: &str, params: Value) -> Stream {
        self.streams(rpc(method, &params)).await
    }

    pub async fn streams(&self, call: Call) -> Stream {
        let opened = Client::new(self.addr).open(call).await.unwrap();
        assert_eq!(opened.status, 200);
        assert_eq!(opened.headers["content-type"], "text/event-stream");
        Stream {
            opened,
            read: String::new(),
        }
    }

    /// A task that has begun, by its id.
    pub async fn begins(&self, text: &str) -> String {
        let told = self
            .call(
                "SendMessage",
                json!({"message": message_10(text), "configuration": {"returnImmediately": true}}),
            )
            .await;
        told["result"]["task"]["id"]
            .as_str()
            .expect("a task")
            .to_owned()
    }

    pub async fn task(&self, id: &str) -> Value {
        self.call("GetTask", json!({"id": id})).await["result"].clone()
    }

    /// The task, once it is in this state.
    pub async fn task_in(&self, id: &str, state: &str) -> Value {
        candor_testkit::wait::wait_for("the state of a task", SOON, || async {
            let task = self.task(id).await;
            (task["status"]["state"] == state).then_some(task)
        })
        .await
        .unwrap()
    }
}

pub fn card(addr: SocketAddr, streaming: bool) -> Card {
    Card {
        name: "Ada".into(),
        description: "Answers.".into(),
        version: "1.2.3".into(),
        skills: vec![Skill {
            id: "answer".into(),
            name: "Answer".into(),
            description: "Answers.".into(),
            tags: vec!["talk".into()],
        }],
        streaming,
        url: format!("http://{addr}/"),
    }
}

pub fn rpc(method: &str, params: &Value) -> Call {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    Call::post("/", &body)
}

pub fn message_10(text: &str) -> Value {
    json!({"messageId": "m-1", "role": "ROLE_USER", "parts": [{"text": text}]})
}

pub fn message_03(text: &str) -> Value {
    json!({"kind": "message", "messageId": "m-1", "role": "user",
           "parts": [{"kind": "text", "text": text}]})
}

/// Events as they come.
pub struct Stream {
    opened: Opened,
    read: String,
}

impl Stream {
    /// The next response; none at the end.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.read.find("\n\n") {
                let event: String = self.read.drain(..end + 2).collect();
                let data = event
                    .trim_end()
                    .strip_prefix("data: ")
                    .expect("one line of data");
                return Some(serde_json::from_str(data).expect("JSON"));
            }
            let data = self.opened.next(SOON).await.unwrap()?;
            self.read.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    /// All that is left.
    pub async fn rest(mut self) -> Vec<Value> {
        let mut rest = Vec::new();
        while let Some(event) = self.next().await {
            rest.push(event);
        }
        rest
    }
}

/// With ids and times that are the same in each run: ids in the order in which they
/// first appear by `seen`, so that the same id has the same name.
pub fn plain(value: &Value) -> Value {
    plain_of(value, &mut HashMap::new())
}

pub fn plain_of(value: &Value, seen: &mut HashMap<String, String>) -> Value {
    match value {
        Value::String(text) if Uuid::parse_str(text).is_ok() => {
            let next = format!("<id {}>", seen.len() + 1);
            json!(seen.entry(text.clone()).or_insert(next))
        }
        Value::String(text) if is_time(text) => json!("<time>"),
        Value::Array(items) => items.iter().map(|item| plain_of(item, seen)).collect(),
        Value::Object(members) => {
            let plain = members
                .iter()
                .map(|(name, value)| (name.clone(), plain_of(value, seen)));
            Value::Object(plain.collect())
        }
        other => other.clone(),
    }
}

fn is_time(text: &str) -> bool {
    text.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(text).is_ok()
}
