//! The state of the task that an answer tells of, in either version of A2A.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// How far a task is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// The agent works on it.
    Working,
    /// The agent could not do it, or would not; in its words, if it had any.
    Failed(String),
    /// Somebody asked for its end.
    Canceled,
    /// Completed, or it waits for somebody else.
    Other,
}

/// A result: a task or an update of one, or 1.0's wrapping of either.
#[derive(Deserialize)]
struct Told<'a> {
    #[serde(borrow)]
    status: Option<Status<'a>>,
    #[serde(borrow)]
    task: Option<Inner<'a>>,
    #[serde(borrow, rename = "statusUpdate")]
    update: Option<Inner<'a>>,
}

#[derive(Deserialize)]
struct Inner<'a> {
    #[serde(borrow)]
    status: Option<Status<'a>>,
}

#[derive(Deserialize)]
struct Status<'a> {
    #[serde(borrow)]
    state: Cow<'a, str>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
}

impl State {
    /// The state in a result of JSON-RPC, or a body of HTTP+JSON; nothing where there
    /// is no task in it.
    pub(super) fn of(result: &[u8]) -> Option<Self> {
        let told: Told<'_> = serde_json::from_slice(result).ok()?;
        let inner = told.task.or(told.update).and_then(|inner| inner.status);
        let status = told.status.or(inner)?;
        Some(match &*status.state {
            "submitted" | "working" | "TASK_STATE_SUBMITTED" | "TASK_STATE_WORKING" => {
                Self::Working
            }
            "failed" | "rejected" | "TASK_STATE_FAILED" | "TASK_STATE_REJECTED" => {
                let words = status.message.map(words).unwrap_or_default();
                Self::Failed(match words.is_empty() {
                    true => format!("the agent's task ended in the state {}", status.state),
                    false => words,
                })
            }
            "canceled" | "TASK_STATE_CANCELED" => Self::Canceled,
            _ => Self::Other,
        })
    }
}

/// The words of a message's parts, one below the other.
fn words(message: &RawValue) -> String {
    let message: serde_json::Value = serde_json::from_str(message.get()).unwrap_or_default();
    let parts = message["parts"].as_array().into_iter().flatten();
    let texts: Vec<&str> = parts.filter_map(|part| part["text"].as_str()).collect();
    texts.join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_state_is_found_in_both_versions_and_in_updates_with_the_words_beside_it() {
        let message =
            json!({"parts": [{"kind": "data", "data": {}}, {"text": "no"}, {"text": "model"}]});
        let status = |state: &str| json!({"state": state, "message": message});
        let shapes = |state: &str| {
            let status = status(state);
            [
                json!({"kind": "task", "id": "t", "status": status}),
                json!({"kind": "status-update", "final": true, "status": status}),
                json!({"task": {"id": "t", "status": status}}),
                json!({"statusUpdate": {"taskId": "t", "status": status}}),
            ]
        };
        let failed = State::Failed("no\nmodel".to_owned());
        for (states, wanted) in [
            (["submitted", "TASK_STATE_SUBMITTED"], &State::Working),
            (["working", "TASK_STATE_WORKING"], &State::Working),
            (["failed", "TASK_STATE_FAILED"], &failed),
            (["rejected", "TASK_STATE_REJECTED"], &failed),
            (["canceled", "TASK_STATE_CANCELED"], &State::Canceled),
            (["completed", "TASK_STATE_COMPLETED"], &State::Other),
            (["input-required", "what is to come"], &State::Other),
        ] {
            for shape in states.into_iter().flat_map(shapes) {
                let found = State::of(shape.to_string().as_bytes());
                assert_eq!(found.as_ref(), Some(wanted), "{shape}");
            }
        }
        let silent = json!({"status": {"state": "failed"}});
        let words = "the agent's task ended in the state failed";
        assert_eq!(
            State::of(silent.to_string().as_bytes()),
            Some(State::Failed(words.to_owned()))
        );
        for none in [json!({"kind": "message"}), json!("x"), json!({"status": 1})] {
            assert_eq!(State::of(none.to_string().as_bytes()), None, "{none}");
        }
    }
}
