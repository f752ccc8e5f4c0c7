//! Answers on the legacy wire.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use candor_kernel::Error;

use super::json::encode::{Map, Members as _};

/// What a handler gives: an answer, or an error that [`super::errors`] words.
pub(crate) type Answer = Result<Response, Error>;

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// JSON that is encoded already, with a status.
pub(crate) fn json(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// 200 with JSON that is sent as it is made.
pub(crate) fn json_stream(body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// 200 with JSON.
pub(crate) fn ok(body: String) -> Response {
    json(StatusCode::OK, body)
}

/// 200 `{"status":"<word>"}`.
pub(crate) fn status(word: &str) -> Response {
    ok(Map::new().string("status", word).finish())
}

/// Any text, with its type.
pub(crate) fn text(content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
