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
    let status = match error.reason() {
        Reason::BudgetExceeded => StatusCode::PAYMENT_REQUIRED,
        _ => status(error.kind()),
    };
    let mut response = match error.reason() {
        Reason::StoreUnavailable | Reason::PeerUnavailable => json(
            status,
            Map::new()
                .string("code", PLATFORM_UNAVAILABLE)
                .string("error", "platform datastore unavailable — retry shortly")
                .finish(),
        ),
        Reason::NoUrl
        | Reason::Waking
        | Reason::Wedged
        | Reason::AgentBusy
        | Reason::DeliveryUnknown
        | Reason::AnswerLost => json(status, of_message(error)),
        Reason::SecretUnreadable => json(status, of_secrets(error)),
        Reason::ActiveTasks => json(status, of_work(error)),
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
        ErrorKind::Upstream => StatusCode::BAD_GATEWAY,
        ErrorKind::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Why a message was not answered (contract/a2a.md, "Dispatch failure
/// classification"; deviations D7, D9).
fn of_message(error: &Error) -> String {
    let body = Map::new().string("error", error.public());
    let seconds = error.retry_after().map_or(0, |after| after.as_secs());
    let retry = |body: Map| body.int("retry_after", i64::try_from(seconds).unwrap_or_default());
    let fact = |body: Map, name: &str| match error.fact(name) {
        Some(value) => body.string(name, value),
        None => body,
    };
    match error.reason() {
        Reason::Waking => retry(body.bool("waking", true)),
        Reason::AgentBusy => {
            let body = retry(body.bool("busy", true));
            match error.fact("native_session") {
                Some(_) => body.bool("native_session", true),
                None => body,
            }
        }
        Reason::DeliveryUnknown => retry(body.bool("busy", true).bool("delivery_unknown", true)),
        Reason::AnswerLost => {
            let confirmed = error.fact("delivery_confirmed") == Some("true");
            body.bool("delivery_confirmed", confirmed)
        }
        _ => fact(fact(body, "runtime_state"), "status"),
    }
    .finish()
}

/// Which secrets cannot be read, where several could be meant.
fn of_secrets(error: &Error) -> String {
    let body = Map::new().string("error", error.public());
    match error.fact("failed_keys") {
        Some(keys) => body.json_text("failed_keys", keys).finish(),
        None => body.finish(),
    }
}

/// What a workspace works on (contract/workspaces.md, "Pause / resume / hibernate").
fn of_work(error: &Error) -> String {
    let tasks = error
        .fact("active_tasks")
        .and_then(|tasks| tasks.parse().ok());
    Map::new()
        .int("active_tasks", tasks.unwrap_or_default())
        .string("error", error.public())
        .finish()
}

/// True for what an agent did or is, which is no fault of the platform: its
/// activity row and its status tell it, not every answer's log line.
pub(crate) fn is_agents(error: &Error) -> bool {
    matches!(
        error.reason(),
        Reason::NoUrl
            | Reason::Waking
            | Reason::Wedged
            | Reason::AgentBusy
            | Reason::DeliveryUnknown
            | Reason::AgentUnreachable
            | Reason::AddressRefused
            | Reason::AnswerLost
    )
}

fn log(error: &Error) {
    let reason = error.reason().code();
    let internal = error.internal_text().unwrap_or_default();
    match error.kind() {
        _ if is_agents(error) => tracing::debug!(reason, internal, "{error}"),
        ErrorKind::Internal => tracing::error!(reason, internal, "{error}"),
        ErrorKind::Unavailable => tracing::warn!(reason, internal, "{error}"),
        _ => tracing::debug!(reason, internal, "{error}"),
    }
}
