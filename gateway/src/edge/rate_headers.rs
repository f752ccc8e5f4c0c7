//! Rate headers of listeners that limit nothing: they say so, rather than leave clients to guess.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

/// The legacy name of the limit.
pub const X_RATELIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");

/// Middleware for open listeners: `X-RateLimit-Limit: unlimited`, unless a route set a limit of its own.
pub async fn apply(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response
        .headers_mut()
        .entry(X_RATELIMIT_LIMIT)
        .or_insert(HeaderValue::from_static("unlimited"));
    response
}
