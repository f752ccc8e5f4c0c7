//! What is answered, in the version of whoever asked.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use candor_a2a::jsonrpc::{Id, error_body, result_body};
use candor_a2a::{Error, ErrorKind, Method, Version, translate};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tonic::Code;

use super::sse::{self, Follow};
use crate::executor::TurnError;

/// When to come again, in seconds, where nothing is known of it.
const AGAIN: u64 = 5;

/// An answer, in 1.0.
pub(super) enum Told {
    /// JSON.
    Whole(String),
    /// The events of a task.
    Stream(Follow),
}

impl Told {
    pub(super) fn of<T: Serialize>(result: &T) -> Result<Self, Refusal> {
        let json = serde_json::to_string(result);
        let internal =
            |error: serde_json::Error| Error::new(ErrorKind::Internal, error.to_string());
        Ok(Self::Whole(json.map_err(internal)?))
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct Refusal {
    pub error: Error,
    pub status: StatusCode,
    /// Seconds.
    pub retry_after: Option<u64>,
}

/// What came of a request.
pub(super) type Outcome = Result<Told, Refusal>;

impl From<Error> for Refusal {
    /// JSON-RPC says in the body what went wrong.
    fn from(error: Error) -> Self {
        Self {
            error,
            status: StatusCode::OK,
            retry_after: None,
        }
    }
}

impl Refusal {
    /// It was not tried now: whoever delivers it may come again.
    pub(super) fn later(reason: &'static str, text: impl Into<String>) -> Self {
        let error = Error::platform(Code::Unavailable, reason, text);
        Self {
            error: error.with("retry_after", AGAIN.to_string()),
            status: StatusCode::SERVICE_UNAVAILABLE,
            retry_after: Some(AGAIN),
        }
    }

    /// The response with this body.
    pub(super) fn response(&self, body: String) -> Response {
        let mut response = json(self.status, body);
        if let Some(seconds) = self.retry_after {
            let headers = response.headers_mut();
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// A turn without an answer. A wedged agent's is final (status 200): who sends the
    /// same again is told the same, and a delegation ends with the reason (deviation
    /// D53). The words are those with which the platform itself refuses.
    pub(super) fn of_turn(error: &TurnError, task_id: Option<&str>) -> Self {
        let words = error.to_string();
        let told = match error {
            TurnError::Busy(_) => return Self::later("AGENT_BUSY", words),
            TurnError::Retired(_) => return Self::later("AGENT_RETIRED", words),
            TurnError::Wedged(_) => {
                let words = format!("workspace agent is wedged: {words}");
                Error::platform(Code::Unavailable, "WORKSPACE_WEDGED", words)
                    .with("runtime_state", "wedged")
            }
            TurnError::Failed(_) | TurnError::Cancelled => Error::new(ErrorKind::Internal, words),
        };
        match task_id {
            Some(id) => told.with("task_id", id).into(),
            None => told.into(),
        }
    }
}

/// Who asked, and how it is told.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub id: Id<'static>,
    pub method: Method,
    pub version: Version,
}

impl Asker {
    /// The body of a response with this result of 1.0.
    pub(super) fn result(&self, result: &str) -> String {
        let versions = (Version::V10, self.version);
        let told = serde_json::from_str::<&RawValue>(result)
            .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))
            .and_then(|raw| translate::result(self.method, versions, raw));
        match told {
            Ok(told) if self.version == Version::V03 && self.method == Method::SendMessage => {
                result_body(&self.id, &with_usage(&told))
            }
            Ok(told) => result_body(&self.id, &told),
            Err(error) => self.error(&error),
        }
    }

    /// The body of a response with this error.
    pub(super) fn error(&self, error: &Error) -> String {
        let told = translate::error((Version::V10, self.version), error.to_json());
        match Error::from_json(&told) {
            Ok(told) => error_body(&self.id, &told),
            Err(_) => error_body(&self.id, error),
        }
    }

    /// The response.
    pub(super) fn respond(&self, outcome: Outcome) -> Response {
        match outcome {
            Ok(Told::Whole(result)) => json(StatusCode::OK, self.result(&result)),
            Ok(Told::Stream(follow)) => events(sse::body(follow, self.clone())),
            // Whoever asks for a stream reads one.
            Err(refusal) if self.method.is_streaming() && refusal.status == StatusCode::OK => {
                events(Body::from(sse::event(&self.error(&refusal.error))))
            }
            Err(refusal) => refusal.response(self.error(&refusal.error)),
        }
    }
}

/// Legacy callers count tokens by `result.usage` (contract/a2a.md).
fn with_usage(result: &str) -> String {
    let mut told: Value = serde_json::from_str(result).unwrap_or_default();
    let usage = told["metadata"]["usage"].clone();
    if !usage.is_object() {
        return result.to_owned();
    }
    told["usage"] = usage;
    told.to_string()
}

/// A body of JSON.
pub(super) fn json(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn events(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
