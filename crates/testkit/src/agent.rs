//! An agent that says of itself what it is told to say.

use candor_proto::registry::v1::registry_service_client::RegistryServiceClient;
use candor_proto::registry::v1::{BeatForm, HeartbeatRequest, HeartbeatResponse};
use serde_json::{Value, json};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::http::{Answer, Call, Client, ClientError};

/// Setting up the agent did not get the answer it needs.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// No answer at all.
    #[error(transparent)]
    Unanswered(#[from] ClientError),
    /// Another answer than expected.
    #[error("{what}: {status} {body}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// The status code.
        status: u16,
        /// The body.
        body: String,
    },
}

/// What the agent says of itself in its next beat.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Mood {
    /// All is well.
    #[default]
    Healthy,
    /// Calls fail.
    Erroring {
        /// Share of failed calls.
        error_rate: f64,
        /// One of the errors.
        sample_error: String,
    },
    /// The heartbeat outlived the brain.
    Wedged {
        /// Why, in the agent's words.
        sample_error: String,
    },
    /// A legacy partial beat: only the task changed.
    Partial {
        /// The task.
        current_task: String,
    },
    /// No beats at all.
    Silent,
}

/// One agent: an id, a token, a process that has run for some seconds.
#[derive(Debug, Clone, Default)]
pub struct FakeAgent {
    /// Its workspace.
    pub id: String,
    /// What it proves itself with; empty before it registered.
    pub token: String,
    /// What it will say next.
    pub mood: Mood,
    /// How long its process has run, in seconds; rises with every full beat.
    pub uptime_seconds: i32,
    /// Where it says it is; empty for an address where nobody listens.
    pub url: String,
}

impl FakeAgent {
    /// Creates a workspace for it, over HTTP.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn create(client: &mut Client, name: &str) -> Result<Self, AgentError> {
        let body = json!({"name": name, "tier": 1});
        let answer = client.send(Call::post("/workspaces", &body)).await?;
        let created = expect("create", 201, &answer)?;
        Ok(Self {
            id: text(&created["id"]),
            ..Self::default()
        })
    }

    /// Announces itself, and keeps the token it is given.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn register(&mut self, client: &mut Client) -> Result<Answer, AgentError> {
        let url = match self.url.as_str() {
            "" => "http://localhost:8001",
            url => url,
        };
        let body = json!({"id": self.id, "url": url, "agent_card": {"name": "fake"}});
        let mut call = Call::post("/registry/register", &body);
        if !self.token.is_empty() {
            call = call.bearer(&self.token);
        }
        let answer = client.send(call).await?;
        let registered = expect("register", 200, &answer)?;
        if registered["auth_token"].is_string() {
            self.token = text(&registered["auth_token"]);
        }
        Ok(answer)
    }

    /// Both of the above, in one.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn enrolled(client: &mut Client, name: &str) -> Result<Self, AgentError> {
        let mut agent = Self::create(client, name).await?;
        agent.register(client).await?;
        Ok(agent)
    }

    /// So many fleets of so many agents, enrolled.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn fleets(
        client: &mut Client,
        fleets: usize,
        each: usize,
    ) -> Result<Vec<Vec<Self>>, AgentError> {
        let mut all = Vec::with_capacity(fleets);
        for fleet in 0..fleets {
            let mut agents = Vec::with_capacity(each);
            for agent in 0..each {
                agents.push(Self::enrolled(client, &format!("agent {fleet}.{agent}")).await?);
            }
            all.push(agents);
        }
        Ok(all)
    }

    /// The next beat as a call, as a legacy runtime sends it; `None` when silent.
    pub fn next_beat(&mut self) -> Option<Call> {
        let body = self.next_body()?;
        Some(Call::post("/registry/heartbeat", &body).bearer(&self.token))
    }

    /// Sends the next beat over HTTP; nothing is sent when silent.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn beat(&mut self, client: &mut Client) -> Result<Option<Answer>, ClientError> {
        match self.next_beat() {
            Some(call) => client.send(call).await.map(Some),
            None => Ok(None),
        }
    }

    /// Sends the next beat over gRPC; nothing is sent when silent.
    ///
    /// # Errors
    /// The registry's [`Status`].
    pub async fn beat_rpc(
        &mut self,
        client: &mut RegistryServiceClient<Channel>,
    ) -> Result<Option<HeartbeatResponse>, Status> {
        let Some(message) = self.next_message() else {
            return Ok(None);
        };
        let request = with_bearer(message, &self.token)?;
        let response = client.heartbeat(request).await?;
        Ok(Some(response.into_inner()))
    }

    fn next_body(&mut self) -> Option<Value> {
        let mut body = json!({"workspace_id": self.id, "error_rate": 0.0, "sample_error": "",
            "active_tasks": 0, "current_task": "", "uptime_seconds": 0});
        match &self.mood {
            Mood::Silent => return None,
            Mood::Partial { current_task } => {
                body["current_task"] = json!(current_task);
                return Some(body);
            }
            Mood::Healthy => {}
            Mood::Erroring {
                error_rate,
                sample_error,
            } => {
                body["error_rate"] = json!(error_rate);
                body["sample_error"] = json!(sample_error);
            }
            Mood::Wedged { sample_error } => {
                body["runtime_state"] = json!("wedged");
                body["sample_error"] = json!(sample_error);
            }
        }
        self.uptime_seconds += 1;
        body["uptime_seconds"] = json!(self.uptime_seconds);
        Some(body)
    }

    fn next_message(&mut self) -> Option<HeartbeatRequest> {
        let mut message = HeartbeatRequest {
            workspace_id: self.id.clone(),
            form: BeatForm::Unspecified.into(),
            ..HeartbeatRequest::default()
        };
        let (error_rate, sample_error, state) = match &self.mood {
            Mood::Silent => return None,
            Mood::Partial { current_task } => {
                message.current_task = Some(current_task.clone());
                return Some(message);
            }
            Mood::Healthy => (0.0, String::new(), ""),
            Mood::Erroring {
                error_rate,
                sample_error,
            } => (*error_rate, sample_error.clone(), ""),
            Mood::Wedged { sample_error } => (0.0, sample_error.clone(), "wedged"),
        };
        self.uptime_seconds += 1;
        message.error_rate = Some(error_rate);
        message.sample_error = Some(sample_error);
        message.runtime_state = Some(state.to_owned());
        message.uptime_seconds = Some(self.uptime_seconds);
        Some(message)
    }
}

/// A gRPC request that carries a bearer token.
///
/// # Errors
/// `invalid_argument` when the token cannot be metadata.
pub fn with_bearer<T>(message: T, token: &str) -> Result<Request<T>, Status> {
    let value: MetadataValue<Ascii> = format!("Bearer {token}")
        .parse()
        .map_err(|_| Status::invalid_argument("the token is no metadata"))?;
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", value);
    Ok(request)
}

fn expect(what: &'static str, status: u16, answer: &Answer) -> Result<Value, AgentError> {
    if answer.status == status {
        return Ok(answer.json());
    }
    Err(AgentError::Refused {
        what,
        status: answer.status,
        body: answer.text(),
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_partial_beat_is_what_a_legacy_runtime_sends() {
        let mut agent = FakeAgent {
            mood: Mood::Partial {
                current_task: "t".into(),
            },
            uptime_seconds: 9,
            ..FakeAgent::default()
        };
        let body = agent.next_body().unwrap();
        assert_eq!(body["uptime_seconds"], 0);
        assert!(body.get("runtime_state").is_none());
        assert_eq!(agent.uptime_seconds, 9);
        let message = agent.next_message().unwrap();
        assert_eq!(message.uptime_seconds, None);
        assert_eq!(message.error_rate, None);
    }

    #[test]
    fn silence_sends_nothing() {
        let mut agent = FakeAgent {
            mood: Mood::Silent,
            ..FakeAgent::default()
        };
        assert!(agent.next_beat().is_none());
    }
}
