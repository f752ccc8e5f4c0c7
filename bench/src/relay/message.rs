//! What is said to an agent and by it, byte for byte: whoever sends a message knows
//! what its answer must be.

use serde::Deserialize;

/// Bytes of a request's body.
pub const BODY: usize = 1024;
/// The method that is answered at once.
pub const SEND: &str = "message/send";
/// The method that is answered by events.
pub const STREAM: &str = "message/stream";
/// Digits of a message's number in its id.
const DIGITS: usize = 9;

/// A message that an agent is sent.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    /// No other message of the run to the same platform has it.
    pub number: u64,
    /// Which agent.
    pub agent: usize,
}

/// A request, as far as the agent cares.
#[derive(Debug, Deserialize)]
pub struct Request {
    /// Its number.
    pub id: u64,
    /// `message/send` or `message/stream`.
    pub method: String,
    /// Its parameters.
    pub params: Params,
}

/// `MessageSendParams`.
#[derive(Debug, Deserialize)]
pub struct Params {
    /// The message.
    pub message: Said,
    /// What the benchmark wants of its agent.
    #[serde(default)]
    pub metadata: Wanted,
}

/// A message, as far as the agent cares.
#[derive(Debug, Deserialize)]
pub struct Said {
    /// Its parts.
    pub parts: Vec<Part>,
}

/// A part.
#[derive(Debug, Deserialize)]
pub struct Part {
    /// Its text.
    pub text: String,
}

/// What the benchmark wants of its agent.
#[derive(Debug, Default, Deserialize)]
pub struct Wanted {
    /// Events of a stream.
    #[serde(default)]
    pub events: u32,
}

impl Message {
    /// The body of a request that is answered at once, of [`BODY`] bytes.
    pub fn request(self) -> String {
        self.asked(SEND, "")
    }

    /// The body of a request that is answered by so many events.
    pub fn stream_request(self, events: u32) -> String {
        self.asked(STREAM, &format!(r#","metadata":{{"events":{events}}}"#))
    }

    /// The body of the answer.
    pub fn answer(self) -> String {
        answer(self.number, self.agent, &self.text())
    }

    fn asked(self, method: &str, metadata: &str) -> String {
        self.saying(&self.text(), method, metadata)
    }

    fn saying(self, text: &str, method: &str, metadata: &str) -> String {
        let number = self.number;
        format!(
            r#"{{"jsonrpc":"2.0","id":{number},"method":"{method}","params":{{"message":{{"kind":"message","role":"user","messageId":"bench-{number:0DIGITS$}","parts":[{{"kind":"text","text":"{text}"}}]}}{metadata}}}}}"#
        )
    }

    /// Fills a request that is answered at once up to its size.
    fn text(self) -> String {
        let length = BODY - self.saying("", SEND, "").len();
        let said = format!("message {} to agent {} ", self.number, self.agent);
        format!("{said:x<length$}")
    }
}

/// The body of an answer to a text.
pub fn answer(id: u64, agent: usize, text: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"kind":"message","role":"agent","messageId":"answer-{id:0DIGITS$}","parts":[{{"kind":"text","text":"agent {agent} was told: {text}"}}]}}}}"#
    )
}

/// One of a stream's events; they are numbered from 1.
pub fn event(id: u64, agent: usize, number: u32, events: u32) -> String {
    let last = number >= events;
    let state = if last { "completed" } else { "working" };
    format!(
        "data: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"kind\":\"status-update\",\"taskId\":\"task-{id}\",\"contextId\":\"context-{id}\",\"final\":{last},\"status\":{{\"state\":\"{state}\"}},\"metadata\":{{\"agent\":{agent},\"event\":{number}}}}}}}\n\n"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn requests_have_their_size_and_what_the_agent_reads() {
        for number in [0, 9, 10, 12_345_678, 999_999_999] {
            let message = Message { number, agent: 7 };
            assert_eq!(message.request().len(), BODY, "{number}");
            let request: Request = serde_json::from_str(&message.stream_request(5)).unwrap();
            assert_eq!((request.id, request.params.metadata.events), (number, 5));
            let text = &request.params.message.parts[0].text;
            assert_eq!(answer(number, 7, text), message.answer());
        }
    }

    #[test]
    fn no_two_messages_have_the_same_answer() {
        let answer = |number, agent| Message { number, agent }.answer();
        assert_ne!(answer(1, 1), answer(2, 1));
        assert_ne!(answer(1, 1), answer(1, 2));
        assert!(serde_json::from_str::<Value>(&answer(1, 1)).is_ok());
    }

    #[test]
    fn the_last_event_says_so() {
        let last = event(3, 1, 2, 2);
        let json: Value = serde_json::from_str(last.trim_start_matches("data: ")).unwrap();
        assert_eq!(json["result"]["final"], true);
        assert!(event(3, 1, 1, 2).contains("\"final\":false"));
    }
}
