//! The agents of the recorded stories: one behaviour a path, and what was last sent.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use serde_json::{Value, json};

use super::variables::Variables;
use crate::a2a_agent::{A2aAgent, Behaviour};

/// The agent that answers, and an address where nobody does.
#[derive(Debug)]
pub(super) struct Stub {
    agent: A2aAgent,
    dead: u16,
}

impl Stub {
    pub(super) async fn start() -> io::Result<Self> {
        let agent = A2aAgent::start().await?;
        let error = |code, text: &str| Behaviour::status(code, &json!({"error": text}));
        agent.set(error(404, "no such path"));
        let answers = [
            ("/", Behaviour::Echo),
            ("/echo", Behaviour::Echo),
            ("/task", Behaviour::Task),
            ("/trace", Behaviour::Traced),
            ("/rpcerror", Behaviour::RpcError),
            (
                "/err500",
                Behaviour::status(500, &json!({"error": "boom", "detail": "inner"})),
            ),
            (
                "/err500nested",
                Behaviour::status(500, &json!({"error": {"message": "boom"}})),
            ),
            ("/err429", error(429, "slow down")),
            ("/err401", error(401, "bad key")),
            (
                "/err400text",
                Behaviour::Status {
                    code: 400,
                    body: "bad things happened".into(),
                    content_type: "text/plain".to_owned(),
                    headers: Vec::new(),
                },
            ),
            (
                "/created",
                Behaviour::status(
                    201,
                    &json!({"jsonrpc": "2.0", "id": "r1", "result": {
                        "kind": "message", "role": "agent", "messageId": "reply-1",
                        "parts": [{"kind": "text", "text": "echo: hi"}]}}),
                ),
            ),
            ("/notjson", Behaviour::NotJson),
            ("/empty", Behaviour::Empty),
            ("/redirect", Behaviour::Redirect("/echo".to_owned())),
            ("/eof", Behaviour::Eof),
        ];
        for (path, behaviour) in answers {
            agent.set_at(path, behaviour);
        }
        // A port that was free a moment ago.
        let dead = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        Ok(Self { agent, dead })
    }

    /// A story begins: counts anew, and the addresses have names.
    pub(super) fn begin(&self, variables: &mut Variables) {
        self.agent.set_at("/eof-once", Behaviour::EofFirst(1));
        self.agent.set_at("/eof-first/2", Behaviour::EofFirst(2));
        let port = self.agent.address().port();
        for (name, address) in [
            ("AGENT", format!("localhost:{port}")),
            ("AGENTIP", format!("127.0.0.1:{port}")),
            ("DEAD", format!("localhost:{}", self.dead)),
            ("DEADIP", format!("127.0.0.1:{}", self.dead)),
        ] {
            variables.set(name, address);
        }
    }

    /// What the agent was last sent, with the body as a value.
    pub(super) fn last(&self) -> Value {
        let requests = self.agent.requests();
        let Some(last) = requests.last() else {
            return Value::Null;
        };
        json!({"path": last.path(), "body": last.json()})
    }
}

/// The same, as it was recorded: there the body is text.
pub(super) fn recorded(answer: &str) -> Value {
    let answer: Value = serde_json::from_str(answer).unwrap_or_default();
    let body = answer["body"].as_str().unwrap_or_default();
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    json!({"path": answer["path"], "body": body})
}
