//! What a caller asks with a message: params of A2A 1.0, read generously.

use std::io::{self, Write};

use candor_a2a::{Error, ErrorKind, grpc};
use candor_proto::a2a::v1;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::body::Held;
use super::digest::{self, Digest};

/// Longest id that a caller may choose, in bytes.
const LONGEST_ID: usize = 1024;
/// What is kept of a message, in bytes.
const KEPT: usize = 1024 * 1024;

/// Params of `SendMessage` and `SendStreamingMessage`.
#[derive(Debug)]
pub(super) struct Asked {
    pub message: Incoming,
    /// The task is wanted, not what comes of it.
    pub at_once: bool,
    pub history: Option<usize>,
}

/// A message for the agent.
#[derive(Debug)]
pub(super) struct Incoming {
    /// Its text parts, one below the other.
    pub text: String,
    /// The conversation, if it names one.
    pub context_id: Option<String>,
    /// The task that it goes on with, if it names one.
    pub task_id: Option<String>,
    /// What its caller wrote.
    pub digest: Digest,
    /// What it weighs, for as long as it is read, waits or is worked on.
    pub held: Held,
    /// As it came, with its id; of one that is very long, the beginning of its text.
    message: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Params {
    message: Map<String, Value>,
    #[serde(default)]
    configuration: Option<Configuration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Configuration {
    #[serde(alias = "return_immediately")]
    return_immediately: Option<bool>,
    #[serde(alias = "history_length")]
    history_length: Option<i64>,
    #[serde(alias = "task_push_notification_config")]
    task_push_notification_config: Option<Value>,
}

fn invalid(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidParams, text)
}

/// `historyLength`, which is no negative number.
pub(super) fn history_length(length: Option<i64>) -> Result<Option<usize>, Error> {
    length
        .map(|length| {
            usize::try_from(length).map_err(|_| invalid("historyLength must not be negative"))
        })
        .transpose()
}

impl Asked {
    /// Reads the params.
    pub(super) fn read(params: &str, held: Held) -> Result<Self, Error> {
        let params: Params =
            serde_json::from_str(params).map_err(|error| invalid(format!("params: {error}")))?;
        let configuration = params.configuration.unwrap_or_default();
        if configuration.task_push_notification_config.is_some() {
            let text = "this agent calls no webhooks";
            return Err(Error::new(ErrorKind::PushNotificationNotSupported, text));
        }
        Ok(Self {
            message: Incoming::read(params.message, held)?,
            at_once: configuration.return_immediately.unwrap_or_default(),
            history: history_length(configuration.history_length)?,
        })
    }
}

impl Incoming {
    fn read(mut message: Map<String, Value>, held: Held) -> Result<Self, Error> {
        let context_id = take_id(&mut message, "contextId", "context_id")?;
        let task_id = take_id(&mut message, "taskId", "task_id")?;
        let message_id = take_id(&mut message, "messageId", "message_id")?;
        let message_id = message_id.unwrap_or_else(|| Uuid::new_v4().to_string());
        message.insert("messageId".to_owned(), message_id.into());
        let role = message.get("role");
        let is_agents = role.is_some_and(|role| *role == "ROLE_AGENT" || *role == 2);
        let role = if is_agents { "ROLE_AGENT" } else { "ROLE_USER" };
        message.insert("role".to_owned(), role.into());
        let written = json!([context_id, task_id, null]);
        let (digest, size) = sums(written, &mut message);
        let is_long = size > KEPT;
        let text = text_of(message.get_mut("parts"), is_long)?;
        if is_long {
            let beginning = &text[..text.floor_char_boundary(KEPT)];
            message.retain(|name, _| name == "messageId" || name == "role");
            message.insert("parts".to_owned(), json!([{"text": beginning}]));
        }
        Ok(Self {
            text,
            context_id,
            task_id,
            digest,
            held,
            message,
        })
    }

    /// The message as its task's history has it: taken, to be kept there alone. One
    /// that is very long, or has what no message of the protocol has, is kept as its text.
    pub(super) fn kept(&mut self, task_id: &str, context_id: &str) -> Value {
        let mut message = std::mem::take(&mut self.message);
        message.insert("taskId".to_owned(), task_id.into());
        message.insert("contextId".to_owned(), context_id.into());
        let message = Value::Object(message);
        let read = grpc::from_json::<v1::Message>(&message.to_string()).ok();
        let whole = read.and_then(|read| grpc::to_json(&read).ok());
        whole.unwrap_or_else(|| {
            let text = &self.text[..self.text.floor_char_boundary(KEPT)];
            json!({
                "messageId": message["messageId"], "role": message["role"],
                "taskId": task_id, "contextId": context_id, "parts": [{"text": text}],
            })
        })
    }
}

/// Takes an id out, under either of its names; an empty one is none.
fn take_id(
    message: &mut Map<String, Value>,
    name: &str,
    snake: &str,
) -> Result<Option<String>, Error> {
    let other = message.remove(snake);
    match message.remove(name).or(other) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(id)) if id.len() > LONGEST_ID => Err(invalid(format!(
            "params.message.{name} has more than {LONGEST_ID} bytes"
        ))),
        Some(Value::String(id)) => Ok(Some(id).filter(|id| !id.is_empty())),
        Some(_) => Err(invalid(format!("params.message.{name} must be a string"))),
    }
}

/// The digest of what a caller wrote, and the size of the message as JSON, in bytes.
fn sums(mut written: Value, message: &mut Map<String, Value>) -> (Digest, usize) {
    struct Count(usize);
    impl Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    // Lent, not copied: it may be megabytes.
    written[2] = Value::Object(std::mem::take(message));
    let digest = digest::of(&written);
    let mut size = Count(0);
    let counted = serde_json::to_writer(&mut size, &written[2]);
    if let Value::Object(lent) = written[2].take() {
        *message = lent;
    }
    (digest, counted.map_or(usize::MAX, |()| size.0))
}

/// The text parts, one below the other; taken out of a message that is not kept. Other
/// parts are not read: the agent reads text.
fn text_of(parts: Option<&mut Value>, is_taken: bool) -> Result<String, Error> {
    let parts = parts
        .and_then(Value::as_array_mut)
        .filter(|parts| !parts.is_empty());
    let parts = parts.ok_or_else(|| invalid("params.message.parts must be an array of parts"))?;
    let mut texts = Vec::new();
    for (place, part) in parts.iter_mut().enumerate() {
        let Some(part) = part.as_object_mut() else {
            return Err(invalid(format!(
                "params.message.parts[{place}] must be an object"
            )));
        };
        match part.get_mut("text") {
            Some(Value::String(text)) if is_taken => texts.push(std::mem::take(text)),
            Some(Value::String(text)) => texts.push(text.clone()),
            _ => {}
        }
    }
    if texts.is_empty() {
        let text = "this agent reads text, and no part of the message is one";
        return Err(Error::new(ErrorKind::ContentTypeNotSupported, text));
    }
    let text = match texts.len() {
        1 => texts.remove(0),
        _ => texts.join("\n"),
    };
    if text.trim().is_empty() {
        return Err(invalid("the text of the message is empty"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn asked(params: &Value) -> Result<Asked, Error> {
        Asked::read(&params.to_string(), Held::default())
    }

    fn refused(params: &Value) -> (ErrorKind, String) {
        let error = asked(params).unwrap_err();
        (error.kind(), error.message().to_owned())
    }

    #[test]
    fn what_is_missing_is_filled_and_texts_are_joined() {
        let parts = json!([{"text": "a"}, {"url": "http://x"}, {"text": "b"}]);
        let mut asked = asked(&json!({"message": {"parts": parts}})).unwrap();
        assert_eq!(asked.message.text, "a\nb");
        assert!(!asked.at_once);
        let kept = asked.message.kept("t", "c");
        assert_eq!(kept["role"], "ROLE_USER");
        assert_eq!(kept["messageId"].as_str().unwrap().len(), 36);
        assert_eq!(
            (&kept["taskId"], &kept["contextId"]),
            (&json!("t"), &json!("c"))
        );
        assert_eq!(kept["parts"], parts);
    }

    #[test]
    fn what_cannot_be_kept_whole_is_kept_as_its_text() {
        let strange = json!({"message": {"parts": [{"text": "a"}], "metadata": 5}});
        let kept = asked(&strange).unwrap().message.kept("t", "c");
        assert_eq!(kept["parts"], json!([{"text": "a"}]));
        assert_eq!(kept.get("metadata"), None);
        let long = json!({"message": {"parts": [{"text": "é".repeat(KEPT)}]}});
        let kept = asked(&long).unwrap().message.kept("t", "c");
        assert_eq!(kept["parts"][0]["text"].as_str().unwrap().len(), KEPT);
    }

    #[test]
    fn what_is_wrong_is_named() {
        use ErrorKind::{ContentTypeNotSupported, InvalidParams, PushNotificationNotSupported};
        let rows = [
            (json!({}), InvalidParams, "missing field `message`"),
            (json!({"message": 5}), InvalidParams, "params: invalid type"),
            (
                json!({"message": {}}),
                InvalidParams,
                "params.message.parts must be an array",
            ),
            (
                json!({"message": {"parts": []}}),
                InvalidParams,
                "must be an array of parts",
            ),
            (
                json!({"message": {"parts": ["x"]}}),
                InvalidParams,
                "parts[0] must be an object",
            ),
            (
                json!({"message": {"parts": [{"text": " "}]}}),
                InvalidParams,
                "is empty",
            ),
            (
                json!({"message": {"parts": [{"text": "x"}], "taskId": 7}}),
                InvalidParams,
                "params.message.taskId must be a string",
            ),
            (
                json!({"message": {"parts": [{"text": "x"}], "contextId": "x".repeat(2000)}}),
                InvalidParams,
                "contextId has more than 1024 bytes",
            ),
            (
                json!({"message": {"parts": [{"raw": "AA=="}]}}),
                ContentTypeNotSupported,
                "reads text",
            ),
            (
                json!({"message": {"parts": [{"text": "x"}]},
                       "configuration": {"taskPushNotificationConfig": {"url": "http://x"}}}),
                PushNotificationNotSupported,
                "no webhooks",
            ),
            (
                json!({"message": {"parts": [{"text": "x"}]},
                       "configuration": {"historyLength": -1}}),
                InvalidParams,
                "must not be negative",
            ),
        ];
        for (params, kind, words) in rows {
            let (found, text) = refused(&params);
            assert_eq!(found, kind, "{params}");
            assert!(text.contains(words), "{text}");
        }
    }
}
