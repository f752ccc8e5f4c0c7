//! Rate headers of listeners that limit nothing: they say so, rather than leave clients to guess.

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;

/// The legacy name of the limit.
pub const X_RATELIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");

/// For open listeners: `X-RateLimit-Limit: unlimited`, unless a route set a limit of its own.
pub(super) fn say_unlimited(response: &mut Response) {
    response
        .headers_mut()
        .entry(X_RATELIMIT_LIMIT)
        .or_insert(HeaderValue::from_static("unlimited"));
}
