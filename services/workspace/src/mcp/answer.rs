//! What a tool answers: bounded text, or an error that says what to do.

use serde_json::Value;

use crate::platform::{CallError, Reply};
use crate::self_message::refusal;

/// Longest text of an answer, in bytes.
const LONGEST: usize = 256 * 1024;
/// Longest words of the platform that are passed on, in characters.
const SHOWN: usize = 2_000;

/// A tool's outcome: what the agent reads either way.
pub(super) type Outcome = Result<String, String>;

/// At most so much of a text, cut between characters.
pub(super) fn bounded(mut text: String) -> String {
    if text.len() <= LONGEST {
        return text;
    }
    let all = text.len();
    text.truncate(text.floor_char_boundary(LONGEST));
    text.push_str(&format!("\n[cut: {LONGEST} of {all} bytes are shown]"));
    text
}

/// The text of an agent's answer to `message/send`, in either version.
///
/// # Errors
/// What the agent said instead.
pub(super) fn words_of(reply: &Reply) -> Outcome {
    let raw = || String::from_utf8_lossy(&reply.body).into_owned();
    let body = reply.json();
    if let Some(error) = refusal(&body) {
        return Err(format!("the agent answered with an error: {error}"));
    }
    let result = &body["result"];
    // 1.0 wraps the message or the task.
    let inner = [&result["message"], &result["task"], result];
    let inner = inner.into_iter().find(|inner| inner.is_object());
    let text = inner.and_then(|result| {
        texts(&result["parts"])
            .or_else(|| {
                let artifacts = result["artifacts"].as_array()?;
                let all: Vec<String> = artifacts
                    .iter()
                    .filter_map(|one| texts(&one["parts"]))
                    .collect();
                (!all.is_empty()).then(|| all.join("\n"))
            })
            .or_else(|| texts(&result["status"]["message"]["parts"]))
    });
    let state = inner.and_then(|result| result["status"]["state"].as_str());
    match state.map(|state| state.trim_start_matches("TASK_STATE_").to_lowercase()) {
        Some(state) if state == "failed" || state == "rejected" || state == "canceled" => Err(
            format!("the task ended as {state}: {}", text.unwrap_or_else(raw)),
        ),
        _ => Ok(text.unwrap_or_else(raw)),
    }
}

/// The text parts, one below the other.
fn texts(parts: &Value) -> Option<String> {
    let texts: Vec<&str> = parts
        .as_array()?
        .iter()
        .filter(|part| {
            let kind = part.get("kind").or_else(|| part.get("type"));
            kind.is_none_or(|kind| kind == "text")
        })
        .filter_map(|part| part["text"].as_str())
        .collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

/// The platform's words and what can be done about them.
pub(super) fn refused(reply: &Reply) -> String {
    let body = reply.json();
    let words: String = match body["error"].as_str() {
        Some(words) => words.chars().take(SHOWN).collect(),
        None => String::from_utf8_lossy(&reply.body)
            .chars()
            .take(SHOWN)
            .collect(),
    };
    let fix = match reply.status {
        400 => "check the arguments: workspace_id is an id that list_peers shows",
        401 => {
            "this workspace's token is not accepted; whoever runs the platform has to restart \
                this workspace or write its token anew"
        }
        402 => "that workspace has spent its budget; choose another peer or tell the user",
        403 => {
            "this workspace may not speak with that one; list_peers shows whom it may speak with"
        }
        404 => "there is no such workspace; list_peers shows those that there are",
        410 => "it is gone; list_peers shows the workspaces that there are",
        413 => "the text is too long; send less",
        429 => "too many calls; wait a minute",
        503 if body["runtime_state"] == "wedged" => {
            "that agent cannot answer until somebody restarts it; choose another peer or tell the \
             user"
        }
        503 if body["delivery_unknown"] == true => {
            "the task may have been delivered, so do not send it again at once; use \
             delegate_task_async for long tasks"
        }
        502 | 503 => {
            "the agent is not to be reached now; try again in a minute, or use \
             delegate_task_async, which waits for it"
        }
        _ => "try again later, or tell the user",
    };
    format!(
        "the platform answered {}: {words}. What to do: {fix}.",
        reply.status
    )
}

/// Why there is no answer, and what can be done about it.
pub(super) fn unanswered(error: &CallError) -> String {
    let fix = match error {
        CallError::Unreached(_) | CallError::Unanswered(_) => {
            "the platform may be restarting; try again in a minute, and check with \
             check_task_status whether the task was taken"
        }
        CallError::TooLarge(_) => "ask for a shorter answer",
        CallError::Refused { .. } | CallError::Unreadable(_) => "try again later, or tell the user",
    };
    format!("{error}. What to do: {fix}.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reply(status: u16, body: &Value) -> Reply {
        let body = body.to_string().into();
        Reply { status, body }
    }

    #[test]
    fn an_answers_text_is_found_in_every_shape() {
        let parts = json!([{"kind": "text", "text": "a"}, {"kind": "data"}, {"text": "b"}]);
        for result in [
            json!({"parts": parts}),
            json!({"message": {"parts": parts}}),
            json!({"task": {"artifacts": [{"parts": parts}]}}),
            json!({"status": {"state": "completed", "message": {"parts": parts}}}),
        ] {
            let reply = reply(200, &json!({"result": result}));
            assert_eq!(words_of(&reply), Ok("a\nb".to_owned()), "{result}");
        }
        let failed =
            json!({"result": {"status": {"state": "failed", "message": {"parts": parts}}}});
        assert_eq!(
            words_of(&reply(200, &failed)),
            Err("the task ended as failed: a\nb".to_owned())
        );
        assert_eq!(
            words_of(&reply(200, &json!("raw"))),
            Ok("\"raw\"".to_owned())
        );
    }

    #[test]
    fn an_answer_is_cut_between_characters() {
        let long = "é".repeat(LONGEST);
        let shown = bounded(long);
        assert!(shown.len() < LONGEST + 100);
        assert!(shown.contains("[cut: 262144 of 524288 bytes are shown]"));
        assert_eq!(bounded("short".to_owned()), "short");
    }

    #[test]
    fn every_refusal_names_what_to_do() {
        for status in [400, 401, 402, 403, 404, 410, 413, 429, 500, 502, 503, 504] {
            let words = refused(&reply(status, &json!({"error": "no"})));
            assert!(
                words.starts_with(&format!("the platform answered {status}: no. What to do: "))
            );
        }
    }
}
