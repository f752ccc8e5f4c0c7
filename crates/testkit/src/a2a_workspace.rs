//! Workspaces with an A2A agent behind them, and messages as clients send them.

use std::io;

use serde_json::{Value, json};

use crate::a2a_agent::A2aAgent;
use crate::agent::{AgentError, FakeAgent};
use crate::http::{Answer, Call, Client, ClientError};

/// A workspace could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// No port.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The platform did not answer as it should.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// It did not answer at all.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// A registered workspace that beats, and the agent that its messages go to.
#[derive(Debug)]
pub struct A2aWorkspace {
    /// Who beats.
    pub beats: FakeAgent,
    /// Who answers.
    pub agent: A2aAgent,
}

impl A2aWorkspace {
    /// A workspace with an agent that echoes; it has beaten once.
    ///
    /// # Errors
    /// [`SetUpError`].
    pub async fn start(client: &mut Client, name: &str) -> Result<Self, SetUpError> {
        Self::with(client, A2aAgent::start().await?, &json!({"name": name})).await
    }

    /// A workspace with that agent, created with these members.
    ///
    /// # Errors
    /// [`SetUpError`].
    pub async fn with(
        client: &mut Client,
        agent: A2aAgent,
        members: &Value,
    ) -> Result<Self, SetUpError> {
        let mut beats = FakeAgent {
            id: created(client, members).await?,
            url: agent.url(),
            ..FakeAgent::default()
        };
        beats.register(client).await?;
        beats.beat(client).await?;
        Ok(Self { beats, agent })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.beats.id
    }

    /// Its token.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.beats.token
    }

    /// The call that sends it a message as a person.
    #[must_use]
    pub fn call(&self, message: &Value) -> Call {
        Call::post(format!("/workspaces/{}/a2a", self.id()), message)
    }

    /// The call that sends it a message as another workspace.
    #[must_use]
    pub fn call_by(&self, sender: &Self, message: &Value) -> Call {
        self.call(message)
            .header("x-workspace-id", sender.id())
            .bearer(sender.token())
    }

    /// Sends it a text as a person, under a message id.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn send(&self, client: &mut Client, message_id: &str) -> Result<Answer, ClientError> {
        client.send(self.call(&message(message_id))).await
    }

    /// What the platform says of it: GET /workspaces/:id.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn shown(&self, client: &mut Client) -> Result<Value, ClientError> {
        let call = Call::get(format!("/workspaces/{}", self.id()));
        Ok(client.send(call).await?.json())
    }
}

/// Creates a workspace with these members, and answers its id.
///
/// # Errors
/// [`SetUpError`].
pub async fn created(client: &mut Client, members: &Value) -> Result<String, SetUpError> {
    let mut body = members.clone();
    if body.get("tier").is_none() {
        body["tier"] = json!(1);
    }
    let answer = client.send(Call::post("/workspaces", &body)).await?;
    match answer.json()["id"].as_str() {
        Some(id) if answer.status == 201 => Ok(id.to_owned()),
        _ => Err(AgentError::Refused {
            what: "create",
            status: answer.status,
            body: answer.text(),
        }
        .into()),
    }
}

/// A message whose text is its id, as `message/send`.
#[must_use]
pub fn message(id: &str) -> Value {
    request("message/send", id)
}

/// The same by another method.
#[must_use]
pub fn request(method: &str, message_id: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": message_id, "method": method, "params": {"message": {
        "kind": "message", "role": "user", "messageId": message_id,
        "parts": [{"kind": "text", "text": message_id}]}}})
}
