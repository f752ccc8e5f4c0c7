//! Methods a known path does not have (deviation D36).
//!
//! axum answers them with an empty 405 and `Allow`, and HEAD as GET; this gives the 405 the legacy error body and turns
//! an OPTIONS that is no preflight into 204. No handler of the contract answers 405 itself.

use super::{empty_response, error_response};
use axum::extract::Request;
use axum::http::header::ALLOW;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;

/// Whether a request asks for the methods of a path.
pub(super) fn is_options(request: &Request) -> bool {
    request.method() == Method::OPTIONS
}

/// The answer for a method that is not there, in our words; every other answer as it is.
pub(super) fn word(response: Response, is_options: bool) -> Response {
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return response;
    }
    let allow = with_options(response.headers().get(ALLOW));
    let mut answer = if is_options {
        empty_response(StatusCode::NO_CONTENT)
    } else {
        error_response(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
    };
    answer.headers_mut().insert(ALLOW, allow);
    answer
}

fn with_options(allow: Option<&HeaderValue>) -> HeaderValue {
    let listed = allow
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if listed.split(',').any(|method| method.trim() == "OPTIONS") {
        return HeaderValue::from_str(listed).unwrap_or(HeaderValue::from_static("OPTIONS"));
    }
    let separator = if listed.is_empty() { "" } else { "," };
    HeaderValue::from_str(&format!("{listed}{separator}OPTIONS"))
        .unwrap_or(HeaderValue::from_static("OPTIONS"))
}
