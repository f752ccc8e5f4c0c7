//! Where callers reach the platform.

use axum::http::header::HOST;
use axum::http::{HeaderMap, HeaderName};

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The platform's address without a slash at its end: the configured one, else the
/// one by which this request found us.
#[must_use]
pub fn platform_url(configured: Option<&str>, headers: &HeaderMap) -> String {
    let url = configured.map_or_else(|| as_called(headers), str::to_owned);
    url.trim_end_matches('/').to_owned()
}

fn as_called(headers: &HeaderMap) -> String {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = text(&FORWARDED_PROTO).unwrap_or("http");
    let host = text(&FORWARDED_HOST).or_else(|| text(&HOST));
    format!("{scheme}://{}", host.unwrap_or("localhost"))
}
