//! The sidecar as one of the executors: what it declares, and turns that this process
//! begins itself.

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use candor_a2a::Version;
use candor_a2a::jsonrpc::{Id, request_body};
use candor_egress::AgentRequest;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::asked::{Form, Kind};
use super::call::Plan;
use super::forward::start;
use super::out::Begun;
use super::state::State;
use super::{Parts, Proxy, ProxySettings};
use crate::executor::{Answer, Executor, Prompt, Turn, TurnError};
use crate::wedge::Recovery;

/// Largest answer to a turn of our own, in bytes.
const ANSWER: usize = 10 * 1024 * 1024;
/// The platform waits so much longer than this process, so that it hears why there is
/// no answer.
const LONGER: Duration = Duration::from_secs(10);

/// What a sidecar declares, before there is one. It does no turns.
#[derive(Debug, Clone, Copy)]
pub struct Declared {
    idle_timeout: Duration,
}

impl ProxySettings {
    /// What the sidecar declares of itself, for [`crate::vitals::Vitals::new`].
    #[must_use]
    pub fn declares(&self) -> Declared {
        Declared {
            idle_timeout: self.idle_timeout,
        }
    }
}

#[async_trait]
impl Executor for Declared {
    fn name(&self) -> &'static str {
        "proxy"
    }

    fn idle_budget(&self) -> Option<Duration> {
        Some(self.idle_timeout.saturating_add(LONGER))
    }

    fn recovery(&self) -> Recovery {
        Recovery::ObservedSuccess
    }

    async fn turn(&self, _turn: Turn) -> Result<Answer, TurnError> {
        Err(TurnError::Failed("no agent is connected".to_owned()))
    }
}

#[async_trait]
impl Executor for Proxy {
    fn name(&self) -> &'static str {
        "proxy"
    }

    fn idle_budget(&self) -> Option<Duration> {
        self.0.settings.declares().idle_budget()
    }

    fn recovery(&self) -> Recovery {
        Recovery::ObservedSuccess
    }

    fn parallel(&self) -> usize {
        self.0.settings.concurrency
    }

    /// Sends the prompt as a message, in the version that the agent's card speaks.
    /// It is the caller who counts the turn.
    async fn turn(&self, turn: Turn) -> Result<Answer, TurnError> {
        let failed = |fault: super::fault::Fault| TurnError::Failed(fault.text().to_owned());
        let place = self.0.admit(Kind::Message).map_err(failed)?;
        let plan = Plan {
            kind: Kind::Message,
            form: Form::JsonRpc,
            counted: None,
        };
        let request = message(&self.0, &turn.prompt);
        let answer = start(&self.0, plan, place, request, Id::NULL);
        let begun = match answer.await {
            Ok(Ok(begun)) => begun,
            Ok(Err(fault)) => return Err(failed(fault)),
            Err(_) => return Err(TurnError::Failed("the call was given up".to_owned())),
        };
        let status = begun.status;
        let body = collect(begun).await?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        if !answer["error"].is_null() || answer["result"].is_null() {
            let error = answer["error"]["message"].as_str().unwrap_or("no result");
            let status = status.as_u16();
            return Err(TurnError::Failed(format!(
                "the agent: {error} (HTTP {status})"
            )));
        }
        match State::of(answer["result"].to_string().as_bytes()) {
            Some(State::Failed(why)) => return Err(TurnError::Failed(format!("the agent: {why}"))),
            Some(State::Canceled) => return Err(TurnError::Cancelled),
            Some(State::Working | State::Other) | None => {}
        }
        Ok(Answer {
            text: words(&answer["result"]),
            metadata: Map::new(),
        })
    }
}

async fn collect(mut begun: Begun) -> Result<Bytes, TurnError> {
    let mut body = BytesMut::new();
    while let Some(piece) = begun.body.next().await {
        let piece = piece.map_err(|cut| TurnError::Failed(cut.to_string()))?;
        if body.len() + piece.len() > ANSWER {
            let text = "the agent's answer is larger than 10 MiB";
            return Err(TurnError::Failed(text.to_owned()));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

/// The prompt as a request of JSON-RPC.
fn message(parts: &Parts, prompt: &Prompt) -> AgentRequest {
    let spoken = parts.spoken.lock().clone();
    let version = spoken
        .as_ref()
        .map_or(Version::V03, |spoken| spoken.version_for(Version::V10));
    let mut message = json!({
        "messageId": Uuid::now_v7(), "contextId": prompt.context_id,
        "parts": [{"text": prompt.text}],
    });
    match version {
        Version::V10 => message["role"] = json!("ROLE_USER"),
        Version::V03 => {
            message["role"] = json!("user");
            message["kind"] = json!("message");
            message["parts"][0]["kind"] = json!("text");
        }
    }
    let mut params = json!({ "message": message });
    if let (Version::V10, Some(tenant)) = (version, spoken.and_then(|spoken| spoken.tenant)) {
        params["tenant"] = tenant.into();
    }
    let id = Id::text(&Uuid::now_v7().to_string());
    let name = candor_a2a::Method::SendMessage.name(version);
    let mut headers = HeaderMap::new();
    let json = HeaderValue::from_static("application/json");
    headers.insert(CONTENT_TYPE, json.clone());
    headers.insert(ACCEPT, json);
    headers.insert(
        HeaderName::from_static("a2a-version"),
        HeaderValue::from_static(version.as_str()),
    );
    AgentRequest {
        method: Method::POST,
        url: parts.url_of("/"),
        headers,
        body: request_body(&id, name, Some(&params.to_string())).into(),
    }
}

/// The agent's words in a result of either version: those of a message, else those of
/// a task's artifacts, else those beside its status.
fn words(result: &Value) -> String {
    // 1.0 says what a result is by the member that it is in.
    let result = ["message", "task"]
        .into_iter()
        .find_map(|name| result.get(name).filter(|inner| inner.is_object()))
        .unwrap_or(result);
    let of = |parts: &Value| -> Vec<String> {
        let parts = parts.as_array().into_iter().flatten();
        let texts = parts.filter_map(|part| part["text"].as_str());
        texts.map(str::to_owned).collect()
    };
    let mut texts = of(&result["parts"]);
    for artifact in result["artifacts"].as_array().into_iter().flatten() {
        texts.extend(of(&artifact["parts"]));
    }
    if texts.is_empty() {
        texts = of(&result["status"]["message"]["parts"]);
    }
    texts.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_words_are_found_in_every_shape_of_a_result() {
        let parts = json!([{"kind": "text", "text": "a"}, {"kind": "data"}, {"text": "b"}]);
        for result in [
            json!({"kind": "message", "parts": parts}),
            json!({"message": {"parts": parts}}),
            json!({"kind": "task", "artifacts": [{"parts": parts}], "status": {"state": "x"}}),
            json!({"task": {"id": "t", "artifacts": [{"parts": parts}]}}),
            json!({"kind": "task", "status": {"message": {"parts": parts}}}),
        ] {
            assert_eq!(words(&result), "a\nb", "{result}");
        }
        assert_eq!(words(&json!({})), "");
    }
}
