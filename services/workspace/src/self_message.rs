//! Messages that this process sends to its own workspace, by way of the platform: they
//! are written down there like any other, as this workspace's words.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::platform::{Call, CallError, Platform, Reply};

/// Longest piece of an answer that is shown in a log line, in characters.
const SHOWN: usize = 300;

/// The body of `message/send` in its 0.3 form, as every runtime reads it.
pub(crate) fn envelope(message_id: Uuid, text: &str) -> Value {
    json!({
        "jsonrpc": "2.0",
        "id": Uuid::new_v4().to_string(),
        "method": "message/send",
        "params": {"message": {
            "kind": "message",
            "role": "user",
            "messageId": message_id.to_string(),
            "parts": [{"kind": "text", "text": text}],
        }},
    })
}

/// A message to ourselves. Sent again with the same id, it is the same message.
#[derive(Debug, Clone)]
pub(crate) struct SelfMessage {
    pub(crate) id: Uuid,
    pub(crate) text: String,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// The agent has it, or will: it answered, or the platform keeps it until it can.
    Yes,
    /// It may have it: whoever would have said so did not.
    Perhaps(String),
    /// It does not have it.
    No(String),
}

impl SelfMessage {
    /// Sends it, and waits for the agent's answer at most for `within`.
    pub(crate) async fn send(&self, platform: &Platform, within: Duration) -> Told {
        let path = format!("/workspaces/{}/a2a", platform.workspace());
        let call = Call::post(path, envelope(self.id, &self.text)).within(within);
        match platform.send(call).await {
            Ok(reply) => told(&reply),
            Err(error @ CallError::Unreached(_)) => Told::No(error.to_string()),
            // It may be worked on, whoever does not say so.
            Err(error) => Told::Perhaps(error.to_string()),
        }
    }
}

fn told(reply: &Reply) -> Told {
    let body = reply.json();
    if reply.is_success() {
        return refusal(&body).map_or(Told::Yes, Told::No);
    }
    let words = match body["error"].as_str() {
        Some(words) => words.to_owned(),
        None => String::from_utf8_lossy(&reply.body).into_owned(),
    };
    let words: String = words.chars().take(SHOWN).collect();
    let words = format!("the platform answered {}: {words}", reply.status);
    let is_delivered = body["delivery_unknown"] == true || body["delivery_confirmed"] == true;
    match is_delivered {
        true => Told::Perhaps(words),
        false => Told::No(words),
    }
}

/// Why the agent did not do what it was asked, in an answer that is one.
pub(crate) fn refusal(body: &Value) -> Option<String> {
    let error = &body["error"];
    if error.is_null() {
        return None;
    }
    let words = error["message"].as_str().or(error.as_str());
    Some(words.map_or_else(|| error.to_string(), ToOwned::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &Value) -> Reply {
        let body = body.to_string().into();
        Reply { status, body }
    }

    #[test]
    fn what_an_answer_says_of_the_message() {
        let yes = [
            (200, json!({"jsonrpc": "2.0", "result": {"parts": []}})),
            (202, json!({"queued": true, "queue_id": "q"})),
        ];
        for (status, body) in yes {
            assert_eq!(told(&reply(status, &body)), Told::Yes, "{body}");
        }
        let no = [
            (200, json!({"error": {"code": -32000, "message": "busy"}})),
            (401, json!({"error": "missing caller auth token"})),
            (503, json!({"error": "workspace agent is wedged: stuck"})),
        ];
        for (status, body) in no {
            assert!(matches!(told(&reply(status, &body)), Told::No(_)), "{body}");
        }
        let perhaps = [
            (503, json!({"error": "busy", "delivery_unknown": true})),
            (
                502,
                json!({"error": "failed to read", "delivery_confirmed": true}),
            ),
        ];
        for (status, body) in perhaps {
            assert!(
                matches!(told(&reply(status, &body)), Told::Perhaps(_)),
                "{body}"
            );
        }
    }
}
