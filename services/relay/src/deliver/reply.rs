//! What an agent's answer says beside its words: how its row ends, what people are
//! shown, what it cost (contract/a2a.md, "Activity row per outcome").

use bytes::Bytes;
use candor_kernel::WorkspaceId;
use candor_proto::activity::v1 as activity;
use candor_proto::registry::v1 as registry;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::attempt::Head;
use crate::record::Ending;
use crate::store::intents::Usage;

/// A body is kept whole up to so many bytes (design: section 8).
const WHOLE: usize = 1024 * 1024;
/// The beginning of a longer one.
const BEGINNING: usize = 4096;
/// An answer is shown to people up to so many bytes.
const SHOWN: usize = 1024 * 1024;
/// Tokens of one answer, at most.
const MOST_TOKENS: i64 = 10_000_000;
/// A tool trace is kept up to so many bytes.
const LONGEST_TRACE: usize = 256 * 1024;

/// What the log keeps of a body.
#[must_use]
pub fn kept(body: &Bytes) -> activity::Body {
    if body.len() <= WHOLE {
        return activity::Body {
            content: body.clone(),
            ..activity::Body::default()
        };
    }
    beginning(body.slice(..BEGINNING), body.len(), &Sha256::digest(body))
}

/// What the log keeps of a body of which only the beginning is there.
#[must_use]
pub fn beginning(content: Bytes, bytes: usize, sha256: &[u8]) -> activity::Body {
    activity::Body {
        content,
        total_bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
        sha256: sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// The parts of an answer that the platform reads.
#[derive(Debug, Default, Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
}

impl<'a> Answer<'a> {
    fn of(text: &'a str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }
}

fn inside(answer: Option<&RawValue>) -> Answer<'_> {
    answer.map_or_else(Answer::default, |raw| Answer::of(raw.get()))
}

/// `result.metadata.tool_trace`, as it came.
#[must_use]
pub fn tool_trace(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Metadata<'a> {
        #[serde(borrow)]
        tool_trace: &'a RawValue,
    }
    let answer = Answer::of(std::str::from_utf8(body).ok()?);
    let metadata = inside(answer.result).metadata?;
    let metadata: Metadata<'_> = serde_json::from_str(metadata.get()).ok()?;
    let trace = metadata.tool_trace.get();
    (trace.len() <= LONGEST_TRACE && trace != "null").then(|| trace.to_owned())
}

/// Tokens that an answer says it used: `result.usage`, else `usage`.
#[must_use]
pub fn usage(workspace: WorkspaceId, body: &[u8]) -> Option<Usage> {
    #[derive(Deserialize)]
    struct Tokens {
        #[serde(default)]
        input_tokens: f64,
        #[serde(default)]
        output_tokens: f64,
    }
    let answer = Answer::of(std::str::from_utf8(body).ok()?);
    let inner = inside(answer.result).usage;
    let tokens: Tokens = serde_json::from_str(inner.or(answer.usage)?.get()).ok()?;
    // Whole tokens; what is no number of tokens is none.
    let whole = |tokens: f64| (tokens.clamp(0.0, MOST_TOKENS as f64)) as i64;
    let (input, output) = (whole(tokens.input_tokens), whole(tokens.output_tokens));
    (input > 0 || output > 0).then_some(Usage {
        workspace: workspace.as_uuid(),
        input,
        output,
    })
}

/// How the row of an answered message ends.
#[must_use]
pub fn ending(head: &Head, body: &Bytes) -> Ending {
    Ending {
        status: match head.confirms() {
            true => "ok",
            false => "error",
        },
        duration_ms: Some(millis(head)),
        response: Some(kept(body)),
        tool_trace: tool_trace(body),
        ..Ending::default()
    }
}

/// Milliseconds to the head of the answer.
#[must_use]
pub fn millis(head: &Head) -> i32 {
    i32::try_from(head.took.as_millis()).unwrap_or(i32::MAX)
}

/// A2A_RESPONSE: the answer to a person, as it came (deviation D45).
#[must_use]
pub fn shown(
    intent: Uuid,
    target: WorkspaceId,
    method: &str,
    head: &Head,
    body: &[u8],
) -> registry::Event {
    let text = String::from_utf8_lossy(body);
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let too_long = || format!(r#"{{"truncated":true,"bytes":{}}}"#, body.len());
    let response = match text.len() > SHOWN {
        true => too_long(),
        false if serde_json::from_str::<&RawValue>(&text).is_ok() => text.trim().to_owned(),
        // A byte may become six of them.
        false => Some(quoted(&text))
            .filter(|quoted| quoted.len() <= SHOWN)
            .unwrap_or_else(too_long),
    };
    registry::Event {
        id: intent.to_string(),
        event_type: "A2A_RESPONSE".to_owned(),
        workspace_id: target.to_string(),
        payload: format!(
            r#"{{"duration_ms":{},"method":{},"response_body":{response}}}"#,
            millis(head),
            quoted(method)
        ),
        ..registry::Event::default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use http::StatusCode;

    use super::*;

    fn workspace() -> WorkspaceId {
        WorkspaceId::from_uuid(Uuid::from_u128(7))
    }

    fn head() -> Head {
        Head {
            status: StatusCode::OK,
            content_type: String::new(),
            retry_after: None,
            a2a_extensions: None,
            took: Duration::from_millis(12),
        }
    }

    #[test]
    fn traces_and_tokens_are_found_as_they_came() {
        let body = br#"{"result":{"metadata":{"tool_trace":[{"n":1.0}]},"usage":{"input_tokens":1000,"output_tokens":-5}}}"#;
        assert_eq!(tool_trace(body).unwrap(), r#"[{"n":1.0}]"#);
        let used = usage(workspace(), body).unwrap();
        assert_eq!((used.input, used.output), (1000, 0));
        let top = br#"{"usage":{"input_tokens":99999999999,"output_tokens":2}}"#;
        let used = usage(workspace(), top).unwrap();
        assert_eq!((used.input, used.output), (10_000_000, 2));
        for nothing in [
            "",
            "hello",
            "[]",
            "{}",
            r#"{"result":5}"#,
            r#"{"usage":{}}"#,
        ] {
            assert_eq!(usage(workspace(), nothing.as_bytes()), None, "{nothing}");
            assert_eq!(tool_trace(nothing.as_bytes()), None, "{nothing}");
        }
    }

    #[test]
    fn an_answer_is_shown_as_json_or_as_text() {
        let shown = |body: &[u8]| {
            let event = shown(Uuid::nil(), workspace(), "m\"", &head(), body);
            serde_json::from_str::<serde_json::Value>(&event.payload).unwrap()
        };
        assert_eq!(shown(b" {\"a\":1} ")["response_body"]["a"], 1);
        assert_eq!(shown(b"hello")["response_body"], "hello");
        assert_eq!(shown(b"")["response_body"], "");
        assert_eq!(shown(b"")["method"], "m\"");
        assert_eq!(shown(b"")["duration_ms"], 12);
        let escaped = shown(&vec![0; SHOWN / 2]);
        assert_eq!(escaped["response_body"]["truncated"], true);
        let long = shown(&vec![b'x'; SHOWN + 1]);
        assert_eq!(long["response_body"]["truncated"], true);
    }

    #[test]
    fn a_long_body_is_kept_as_its_beginning() {
        let kept = kept(&Bytes::from(vec![b'x'; WHOLE + 1]));
        assert_eq!(kept.content.len(), BEGINNING);
        assert_eq!(kept.total_bytes, 1_048_577);
        assert_eq!(kept.sha256.len(), 64);
    }
}
