//! What a refused caller is told: the words depend on the route's class
//! (contract/auth.md).

use axum::http::StatusCode;
use axum::response::Response;
use candor_identity::{Refusal, Who};
use candor_kernel::Error;

use super::errors::respond;
use crate::edge::error_response;

/// The answer for an id that is no UUID: it names no workspace.
pub(crate) fn malformed_id(path: &str) -> Response {
    match path {
        // As for an id that does not exist (recorded).
        "/workspaces/{id}/notify" => error_response(StatusCode::NOT_FOUND, "workspace not found"),
        _ => error_response(StatusCode::BAD_REQUEST, "invalid workspace ID"),
    }
}

/// The legacy answer for a refusal.
pub(crate) fn refuse(who: Who, refusal: Refusal) -> Response {
    let text = match &refusal {
        Refusal::Missing => missing(who),
        Refusal::Invalid => invalid(who),
        Refusal::CallerMismatch => "invalid caller auth token",
        // Who is nobody may call nobody (recorded; deviation D43).
        Refusal::NotAllowed if who == Who::A2a => {
            let text = "access denied: workspaces cannot communicate per hierarchy rules";
            return error_response(StatusCode::FORBIDDEN, text);
        }
        _ => return respond(&Error::from(refusal)),
    };
    error_response(StatusCode::UNAUTHORIZED, text)
}

const fn missing(who: Who) -> &'static str {
    match who {
        Who::Operator | Who::TestToken | Who::CanvasWrite => "admin auth required",
        Who::A2a | Who::WebSocket => "missing caller auth token",
        _ => "missing workspace auth token",
    }
}

const fn invalid(who: Who) -> &'static str {
    match who {
        Who::TestToken => "admin auth required",
        Who::Operator | Who::CanvasWrite => "invalid admin auth token",
        Who::A2a | Who::WebSocket => "invalid caller auth token",
        _ => "invalid workspace auth token",
    }
}
