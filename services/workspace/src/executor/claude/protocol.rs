//! The lines of the CLI's stream-json mode, as version 2.1.330 writes them. Members
//! and types that are not known are passed over: new ones appear often.

use serde_json::{Value, json};

/// What the CLI says in one line.
#[derive(Debug, PartialEq)]
pub(super) enum Event {
    /// The answer to a control request of ours.
    Answered {
        id: String,
        outcome: Result<(), String>,
    },
    /// A control request of the CLI's, which waits for an answer.
    Asks { id: String, request: Value },
    /// The turn runs in this session.
    Session(String),
    /// The model's API failed, and is asked again; told for people.
    Retries(String),
    /// The agent said or did something.
    Said(Vec<Block>),
    /// The turn is over.
    Over(Over),
    /// Nothing that matters here.
    Other,
}

/// A part of what the agent said.
#[derive(Debug, PartialEq)]
pub(super) enum Block {
    /// Words of its answer.
    Text(String),
    /// It uses a tool.
    Tool { name: String, input: Value },
}

/// How a turn ended.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Over {
    /// Why it failed, if it did.
    pub(super) error: Option<String>,
    /// The HTTP status of the model's API, if that was why.
    pub(super) status: Option<u64>,
    /// The last words.
    pub(super) text: String,
    pub(super) session: Option<String>,
    /// Tokens in and out.
    pub(super) usage: Option<(u64, u64)>,
}

/// The first line of a conversation.
pub(super) fn initialize(id: &str) -> Value {
    json!({
        "type": "control_request",
        "request_id": id,
        "request": {"subtype": "initialize", "hooks": null},
    })
}

/// The prompt.
pub(super) fn message(session: Option<&str>, prompt: &str) -> Value {
    json!({
        "type": "user",
        "session_id": session.unwrap_or_default(),
        "message": {"role": "user", "content": prompt},
        "parent_tool_use_id": null,
    })
}

/// The answer to a control request of the CLI's.
pub(super) fn response(id: &str, outcome: Result<Value, String>) -> Value {
    let response = match outcome {
        Ok(body) => json!({"subtype": "success", "request_id": id, "response": body}),
        Err(why) => json!({"subtype": "error", "request_id": id, "error": why}),
    };
    json!({"type": "control_response", "response": response})
}

impl Event {
    /// Reads a line; nothing if it is no JSON object.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        let line: Value = serde_json::from_slice(line).ok()?;
        line.as_object()?;
        Some(match line["type"].as_str().unwrap_or_default() {
            "control_response" => answered(&line["response"]),
            "control_request" => Self::Asks {
                id: text(&line["request_id"]),
                request: line["request"].clone(),
            },
            "system" => system(&line),
            "assistant" => assistant(&line),
            "result" => Self::Over(over(&line)),
            _ => Self::Other,
        })
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn answered(response: &Value) -> Event {
    let outcome = match response["subtype"].as_str() {
        Some("error") => Err(text(&response["error"])),
        _ => Ok(()),
    };
    Event::Answered {
        id: text(&response["request_id"]),
        outcome,
    }
}

fn system(line: &Value) -> Event {
    match line["subtype"].as_str() {
        Some("init") => Event::Session(text(&line["session_id"])),
        Some("api_retry") => Event::Retries(format!(
            "the model's API failed ({}, status {}), attempt {} of {}",
            line["error"].as_str().unwrap_or("unknown"),
            line["error_status"],
            line["attempt"],
            line["max_retries"],
        )),
        _ => Event::Other,
    }
}

/// An error of the API is told as a message of the agent's as well: by a model named
/// `<synthetic>`. It is none of its words; the result tells it again.
fn assistant(line: &Value) -> Event {
    if line["is_api_error_message"] == true || line["message"]["model"] == "<synthetic>" {
        return Event::Other;
    }
    // What an agent of the agent's says is no part of the answer.
    let own = line["parent_tool_use_id"].is_null();
    let blocks = line["message"]["content"].as_array();
    let blocks = blocks
        .into_iter()
        .flatten()
        .filter_map(|block| match block["type"].as_str()? {
            "text" if own => Some(Block::Text(text(&block["text"]))),
            "tool_use" => Some(Block::Tool {
                name: text(&block["name"]),
                input: block["input"].clone(),
            }),
            _ => None,
        });
    Event::Said(blocks.collect())
}

fn over(line: &Value) -> Over {
    let subtype = line["subtype"].as_str().unwrap_or_default();
    let result = text(&line["result"]);
    // A failed turn can be told as `success` with `is_error`.
    let failed = subtype != "success" || line["is_error"] == true;
    let usage = &line["usage"];
    Over {
        error: failed.then(|| reason(line, subtype, &result)),
        status: line["api_error_status"].as_u64(),
        text: result,
        session: line["session_id"].as_str().map(str::to_owned),
        usage: usage["input_tokens"]
            .as_u64()
            .zip(usage["output_tokens"].as_u64()),
    }
}

fn reason(line: &Value, subtype: &str, result: &str) -> String {
    let errors = line["errors"].as_array();
    let errors: Vec<&str> = errors
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    match (errors.is_empty(), result.is_empty()) {
        (false, _) => format!("{subtype}: {}", errors.join("; ")),
        (true, false) => result.to_owned(),
        (true, true) => subtype.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &Value) -> Event {
        Event::read(line.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn an_error_of_the_api_is_no_word_of_the_agents() {
        let said = read(
            &json!({"type": "assistant", "message": {"model": "<synthetic>",
            "content": [{"type": "text", "text": "API Error: 529"}]}}),
        );
        assert_eq!(said, Event::Other);
        let Event::Over(over) = read(&json!({"type": "result", "subtype": "success",
            "is_error": true, "api_error_status": 529, "result": "API Error: 529"}))
        else {
            panic!("no result");
        };
        assert_eq!(over.error.as_deref(), Some("API Error: 529"));
        assert_eq!(over.status, Some(529));
    }

    #[test]
    fn an_unknown_session_is_told_before_initialize() {
        let Event::Over(over) = read(&json!({"type": "result", "is_error": true,
            "subtype": "error_during_execution",
            "errors": ["No conversation found with session ID: 1"]}))
        else {
            panic!("no result");
        };
        let error = "error_during_execution: No conversation found with session ID: 1";
        assert_eq!(over.error.as_deref(), Some(error));
    }

    #[test]
    fn what_is_no_object_is_no_event_and_what_is_not_known_is_passed_over() {
        for line in ["", "warning: x", "1", "[]", "{"] {
            assert_eq!(Event::read(line.as_bytes()), None, "{line}");
        }
        for line in ["{}", r#"{"type":"keep_alive"}"#, r#"{"type":1}"#] {
            assert_eq!(Event::read(line.as_bytes()), Some(Event::Other), "{line}");
        }
        let of_an_agent = json!({"type": "assistant", "parent_tool_use_id": "t",
            "message": {"content": [{"type": "text", "text": "x"},
                {"type": "tool_use", "name": "Read", "input": {}}]}});
        let tool = Block::Tool {
            name: "Read".into(),
            input: json!({}),
        };
        assert_eq!(read(&of_an_agent), Event::Said(vec![tool]));
    }
}
