//! Headers that tell browsers to be careful, on every answer (contract/auth.md, Security headers).

use axum::http::header::{
    CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;

static FIXED: [(HeaderName, &str); 5] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (
        STRICT_TRANSPORT_SECURITY,
        "max-age=31536000; includeSubDomains",
    ),
    (REFERRER_POLICY, "strict-origin-when-cross-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), geolocation=()",
    ),
];

const API_POLICY: &str = "default-src 'self'";

const PAGE_POLICY: &str = "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data: blob:; connect-src 'self' ws: wss:; font-src 'self' data:";

/// Roots of the API, the last one Candor's own; `/canvas`, `/instructions` and `/cp` are not among them in the original either.
const API_ROOTS: [&str; 17] = [
    "/workspaces",
    "/registry",
    "/health",
    "/admin",
    "/metrics",
    "/settings",
    "/bundles",
    "/org",
    "/orgs",
    "/templates",
    "/plugins",
    "/webhooks",
    "/channels",
    "/ws",
    "/events",
    "/approvals",
    "/a2a",
];

/// The content policy of a path.
pub(super) fn policy(path: &str) -> HeaderValue {
    HeaderValue::from_static(if is_api(path) {
        API_POLICY
    } else {
        PAGE_POLICY
    })
}

/// Sets the headers, over whatever a route set. Unlike the original's, refusals of the edge have them too.
pub(super) fn set(response: &mut Response, policy: HeaderValue) {
    let headers = response.headers_mut();
    headers.reserve(FIXED.len() + 1);
    for (name, value) in &FIXED {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(CONTENT_SECURITY_POLICY, policy);
}

fn is_api(path: &str) -> bool {
    API_ROOTS.iter().any(|root| {
        path.strip_prefix(root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}
