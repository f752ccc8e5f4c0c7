//! What an answer says about the agent, read while it passes.

use candor_a2a::jsonrpc::{Response, parse_response};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};

use super::asked::Form;
use super::events::Events;
use super::state::State;

/// Of an answer so much is read; what is longer is taken for an answer.
const READ: usize = 1024 * 1024;

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// A result.
    Result,
    /// A task that goes on after this.
    Working,
    /// A task that somebody ended: neither a success of the agent nor its failure.
    Canceled,
    /// An error in the protocol's words, a task that failed, or a status that is about
    /// the request.
    Error(String),
    /// Nothing that proves that the agent answers: a status that says that something is
    /// wrong with the server, or a stream without an event.
    NoAnswer(String),
}

/// Reads an answer while it passes.
#[derive(Debug)]
pub(super) struct Outcome {
    status: StatusCode,
    form: Form,
    body: Body,
    /// Some of it was said by the agent: see [`Outcome::push`].
    has_data: bool,
}

#[derive(Debug)]
enum Body {
    /// Kept up to [`READ`].
    Whole {
        kept: Vec<u8>,
        is_longer: bool,
    },
    Stream(Events, Seen),
}

/// What the events of a stream have said up to now.
#[derive(Debug, Default)]
struct Seen {
    /// The first error.
    error: Option<String>,
    /// The newest state of its task.
    state: Option<State>,
}

/// Whether these are the headers of a stream of events.
pub(super) fn is_stream(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let kind = kind
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("text/event-stream")
}

/// Whether a status is the word of something between here and the agent, which had
/// no answer itself.
pub(super) fn is_of_gateway(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT
    )
}

impl Outcome {
    pub(super) fn of(status: StatusCode, headers: &HeaderMap, form: Form) -> Self {
        let body = match is_stream(headers) {
            true => Body::Stream(Events::new(), Seen::default()),
            false => Body::Whole {
                kept: Vec::new(),
                is_longer: false,
            },
        };
        Self {
            status,
            form,
            body,
            has_data: false,
        }
    }

    /// Whether this is a stream, in which not every byte was said by the agent: its
    /// server may send comments to keep the connection, whatever becomes of the agent.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self.body, Body::Stream(..))
    }

    /// The next bytes. Answers whether any of them was said by the agent: in a stream
    /// those of events with data, elsewhere all.
    pub(super) fn push(&mut self, chunk: &[u8]) -> bool {
        let has_data = match &mut self.body {
            Body::Whole { kept, is_longer } => {
                let room = READ - kept.len();
                *is_longer |= chunk.len() > room;
                kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
                !chunk.is_empty()
            }
            Body::Stream(events, seen) => {
                let form = self.form;
                events.push(chunk, |data| seen.event(data, form))
            }
        };
        self.has_data |= has_data;
        has_data
    }

    /// What it said, at its end.
    pub(super) fn finish(mut self) -> Said {
        if let Body::Stream(events, seen) = &mut self.body {
            let form = self.form;
            events.end(|data| seen.event(data, form));
        }
        if self.status.is_server_error() {
            return Said::NoAnswer(self.words());
        }
        if !self.status.is_success() {
            return Said::Error(self.words());
        }
        match self.body {
            Body::Stream(..) if !self.has_data => {
                Said::NoAnswer("the agent's stream ended without an event".to_owned())
            }
            Body::Stream(_, seen) => said(seen),
            Body::Whole {
                is_longer: true, ..
            } => Said::Result,
            Body::Whole { kept, .. } => {
                let mut seen = Seen::default();
                seen.event(&kept, self.form);
                if self.form == Form::JsonRpc {
                    seen.error = error_of(&kept);
                }
                said(seen)
            }
        }
    }

    /// The status, and the error that the body tells beside it.
    fn words(&self) -> String {
        let status = format!("the agent answered HTTP {}", self.status.as_u16());
        let error = match &self.body {
            Body::Whole { kept, .. } => told_error(kept),
            Body::Stream(_, seen) => seen.error.clone(),
        };
        match error {
            Some(error) => format!("{status}: {error}"),
            None => status,
        }
    }
}

impl Seen {
    /// One event of a stream, or a whole body.
    fn event(&mut self, data: &[u8], form: Form) {
        let state = match parse_response(data) {
            Ok(Response::Error(_)) => {
                if self.error.is_none() {
                    self.error = told_error(data);
                }
                None
            }
            Ok(Response::Result(result)) => State::of(result.get().as_bytes()),
            Err(_) if form == Form::Http => State::of(data),
            Err(_) => None,
        };
        self.state = state.or(self.state.take());
    }
}

fn said(seen: Seen) -> Said {
    match (seen.error, seen.state) {
        (Some(error), _) | (None, Some(State::Failed(error))) => Said::Error(error),
        (None, Some(State::Working)) => Said::Working,
        (None, Some(State::Canceled)) => Said::Canceled,
        (None, Some(State::Other) | None) => Said::Result,
    }
}

/// The error in a body, which is one itself if it is no response.
fn error_of(body: &[u8]) -> Option<String> {
    match parse_response(body) {
        Ok(Response::Result(_)) => None,
        Ok(Response::Error(_)) => told_error(body),
        Err(error) => Some(error.message().to_owned()),
    }
}

/// The error that a response of JSON-RPC tells, if it is one.
fn told_error(body: &[u8]) -> Option<String> {
    let Ok(Response::Error(raw)) = parse_response(body) else {
        return None;
    };
    let error: serde_json::Value = serde_json::from_str(raw.get()).ok()?;
    let code = &error["code"];
    Some(match error["message"].as_str() {
        Some(message) => format!("{message} ({code})"),
        None => format!("JSON-RPC error {code}"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn said(status: u16, kind: &str, form: Form, chunks: &[&str]) -> Said {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        let status = StatusCode::from_u16(status).unwrap();
        let mut outcome = Outcome::of(status, &headers, form);
        for chunk in chunks {
            outcome.push(chunk.as_bytes());
        }
        outcome.finish()
    }

    #[test]
    fn errors_are_found_wherever_they_are_told() {
        use Form::{Http, JsonRpc};
        let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"exploded"}}"#;
        let told = Said::Error("exploded (-32603)".into());
        let (json, sse) = ("application/json", "text/event-stream; charset=utf-8");
        assert_eq!(
            said(200, json, JsonRpc, &[r#"{"result""#, ":{}}"]),
            Said::Result
        );
        assert_eq!(said(200, json, JsonRpc, &[error]), told);
        let said_500 = said(500, json, JsonRpc, &[error]);
        let words = "the agent answered HTTP 500: exploded (-32603)";
        assert_eq!(said_500, Said::NoAnswer(words.into()));
        let words = "the agent answered HTTP 404";
        assert_eq!(
            said(404, json, JsonRpc, &["nothing"]),
            Said::Error(words.into())
        );
        assert!(matches!(
            said(200, json, JsonRpc, &["hello"]),
            Said::Error(_)
        ));
        assert_eq!(said(200, json, Http, &["hello"]), Said::Result);

        for working in [
            r#"{"result":{"kind":"task","status":{"state":"working"}}}"#,
            r#"{"result":{"task":{"status":{"state":"TASK_STATE_SUBMITTED"}}}}"#,
        ] {
            assert_eq!(said(200, json, JsonRpc, &[working]), Said::Working);
        }
        let done = r#"{"result":{"kind":"task","status":{"state":"completed"}}}"#;
        assert_eq!(said(200, json, JsonRpc, &[done]), Said::Result);

        let ok = "data: {\"result\":{}}\n\n";
        assert_eq!(said(200, sse, JsonRpc, &[ok, ":\n\n", ok]), Said::Result);
        let event = format!("{ok}data: {error}\r\n\r\n{ok}");
        let (first, second) = event.split_at(50);
        assert_eq!(said(200, sse, JsonRpc, &[first, second]), told);
        assert_eq!(said(200, sse, JsonRpc, &[&format!("data: {error}")]), told);
    }

    #[test]
    fn a_task_that_failed_is_an_error_in_its_own_words_however_it_is_told() {
        let status = |state: &str| {
            format!(
                r#"{{"status":{{"state":"{state}","message":{{"parts":[{{"text":"no model"}}]}}}}}}"#
            )
        };
        let rpc = |state: &str| format!(r#"{{"jsonrpc":"2.0","result":{}}}"#, status(state));
        let failed = Said::Error("no model".to_owned());
        for (state, wanted) in [
            ("failed", &failed),
            ("TASK_STATE_REJECTED", &failed),
            ("canceled", &Said::Canceled),
            ("working", &Said::Working),
            ("completed", &Said::Result),
        ] {
            let json = |form, body: String| said(200, "application/json", form, &[&body]);
            assert_eq!(json(Form::JsonRpc, rpc(state)), *wanted, "{state}");
            assert_eq!(json(Form::Http, status(state)), *wanted, "{state}");
            let stream = |form, first: String, last: String| {
                let events = format!("data: {first}\r\n\r\n: ping\r\n\r\ndata: {last}\r\n\r\n");
                // What follows without a state changes nothing.
                let more = "data: {\"result\":{\"kind\":\"artifact-update\"}}\n\n";
                said(200, "text/event-stream", form, &[&events, more])
            };
            let over_rpc = stream(Form::JsonRpc, rpc("working"), rpc(state));
            assert_eq!(over_rpc, *wanted, "{state}");
            let over_http = stream(Form::Http, status("submitted"), status(state));
            assert_eq!(over_http, *wanted, "{state}");
        }
    }

    #[test]
    fn a_stream_without_an_event_is_no_answer() {
        for stream in [
            &[][..],
            &[": ping\r\n\r\n", ": ping\r\n\r\n"],
            &["event: x\n\n"],
        ] {
            let said = said(200, "text/event-stream", Form::JsonRpc, stream);
            let words = "the agent's stream ended without an event";
            assert_eq!(said, Said::NoAnswer(words.to_owned()));
        }
    }

    #[test]
    fn a_long_answer_is_not_kept() {
        let long = "x".repeat(READ);
        let mut outcome = Outcome::of(StatusCode::OK, &HeaderMap::new(), Form::JsonRpc);
        outcome.push(long.as_bytes());
        outcome.push(long.as_bytes());
        assert!(matches!(&outcome.body, Body::Whole { kept, .. } if kept.len() == READ));
        assert_eq!(outcome.finish(), Said::Result);
    }
}
