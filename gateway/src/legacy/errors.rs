//! The one place where an error becomes a legacy answer.

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use candor_kernel::{Error, ErrorKind, Reason};

use super::answer::json;
use super::json::encode::{Map, Members as _};
use crate::edge::error_response;

/// Clients key on it (deviation D10).
const PLATFORM_UNAVAILABLE: &str = "platform_unavailable";

/// The answer for an error; its internal text ends in the log.
pub(crate) fn respond(error: &Error) -> Response {
    log(error);
    let status = status(error.kind());
    let mut response = match error.reason() {
        Reason::StoreUnavailable | Reason::PeerUnavailable => json(
            status,
            Map::new()
                .string("code", PLATFORM_UNAVAILABLE)
                .string("error", "platform datastore unavailable — retry shortly")
                .finish(),
        ),
        _ => error_response(status, error.public()),
    };
    if let Some(after) = error.retry_after() {
        let seconds = after.as_secs_f64().ceil().max(1.0);
        if let Ok(value) = HeaderValue::from_str(&format!("{seconds}")) {
            response.headers_mut().insert(RETRY_AFTER, value);
        }
    }
    response
}

fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::InvalidArgument => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Gone => StatusCode::GONE,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
        ErrorKind::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn log(error: &Error) {
    let reason = error.reason().code();
    let internal = error.internal_text().unwrap_or_default();
    match error.kind() {
        ErrorKind::Internal => tracing::error!(reason, internal, "{error}"),
        ErrorKind::Unavailable => tracing::warn!(reason, internal, "{error}"),
        _ => tracing::debug!(reason, internal, "{error}"),
    }
}
