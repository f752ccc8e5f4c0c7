//! Why a caller has no answer of the agent's, in the protocol's words.

use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use candor_a2a::jsonrpc::{Id, error_body};
use candor_egress::DialError;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use tonic::Code;

use super::clock::Expired;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    status: StatusCode,
    retry_after: Option<Duration>,
    error: candor_a2a::Error,
}

impl Fault {
    fn new(status: StatusCode, code: Code, reason: &'static str, text: impl Into<String>) -> Self {
        Self {
            status,
            retry_after: None,
            error: candor_a2a::Error::platform(code, reason, text),
        }
    }

    fn unavailable(reason: &'static str, text: impl Into<String>, after: Duration) -> Self {
        let mut fault = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            Code::Unavailable,
            reason,
            text,
        );
        fault.retry_after = Some(after);
        fault
    }

    /// The agent cannot answer; nothing was tried.
    pub(super) fn wedged(reason: &str, after: Duration) -> Self {
        Self::unavailable("WEDGED", format!("the agent is wedged: {reason}"), after)
    }

    /// This is not the workspace's agent any more; nothing was tried.
    pub(super) fn retired(reason: &str, after: Duration) -> Self {
        Self::unavailable("RETIRED", reason, after)
    }

    /// Too many calls at a time; nothing was tried.
    pub(super) fn busy(calls: usize, after: Duration) -> Self {
        let text = format!("the agent is busy: {calls} calls are open already");
        Self::unavailable("BUSY", text, after)
    }

    /// The request's body is too large, or did not come.
    pub(super) fn body(status: StatusCode, text: String) -> Self {
        Self::new(status, Code::InvalidArgument, "BODY_NOT_READ", text)
    }

    /// There is no room for the request's body; nothing was tried.
    pub(super) fn full(after: Duration) -> Self {
        let text = "there is no room for another request now: too many large ones are here";
        Self::unavailable("BUSY", text, after)
    }

    /// The dial failed.
    pub(super) fn dial(error: &DialError) -> Self {
        match error {
            DialError::Overloaded { .. } => {
                Self::unavailable("BUSY", error.to_string(), Duration::from_secs(1))
            }
            error if error.was_written() => Self::lost(&error.to_string()),
            error => Self::new(
                StatusCode::BAD_GATEWAY,
                Code::Unavailable,
                "AGENT_NOT_REACHED",
                format!("{error}; it was not given the request"),
            ),
        }
    }

    /// The connection ended before the answer was whole.
    pub(super) fn lost(why: &str) -> Self {
        let text = format!("{why}; whether it processed the request is unknown");
        Self::new(StatusCode::BAD_GATEWAY, Code::Unknown, "ANSWER_LOST", text)
    }

    /// A clock ran out; `is_sent` if the agent may have read the request.
    pub(super) fn expired(why: Expired, is_sent: bool) -> Self {
        let unknown = match is_sent {
            true => "whether it processed the request is unknown",
            false => "it was not given the request",
        };
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            Code::DeadlineExceeded,
            "NO_ANSWER",
            format!("{}; {unknown}", why.text()),
        )
    }

    /// For people.
    pub(super) fn text(&self) -> &str {
        self.error.message()
    }

    /// The response to the request with this id.
    pub(super) fn response(&self, id: &Id<'_>) -> Response {
        let mut response = (self.status, error_body(id, &self.error)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(after) = self.retry_after {
            // Whole seconds, at least one.
            let seconds = after.as_secs_f64().ceil().max(1.0);
            if let Ok(value) = HeaderValue::from_str(&format!("{seconds}")) {
                headers.insert(RETRY_AFTER, value);
            }
        }
        response
    }

    /// The last event of a stream that broke; an event before it may have been cut off.
    pub(super) fn event(&self, id: &Id<'_>) -> String {
        format!("\n\ndata: {}\n\n", error_body(id, &self.error))
    }
}
