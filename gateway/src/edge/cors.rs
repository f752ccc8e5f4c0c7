//! Cross-origin requests as gin-contrib/cors judges them (contract/auth.md, CORS).

use super::{empty_response, host};
use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;
use std::sync::Arc;

const METHODS: &str = "GET,POST,PUT,PATCH,DELETE,OPTIONS";
const HEADERS: &str = "Origin,Content-Type,X-Workspace-ID,Authorization";

/// The origins whose pages may call with credentials.
#[derive(Debug, Clone)]
pub struct Cors {
    origins: Arc<[String]>,
}

impl Cors {
    /// Exactly these origins, compared byte for byte.
    pub fn new(origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            origins: origins.into_iter().map(Into::into).collect(),
        }
    }

    /// Whether `origin` is on the list.
    #[must_use]
    pub fn lists(&self, origin: &str) -> bool {
        self.origins.iter().any(|listed| listed == origin)
    }
}

impl Default for Cors {
    /// The canvas of a developer's machine.
    fn default() -> Self {
        Self::new(["http://localhost:3000", "http://localhost:3001"])
    }
}

/// What an `Origin` comes to.
pub(super) enum Verdict {
    /// No origin, or our own host's: nothing to say.
    Own,
    /// A listed one.
    Listed(HeaderValue),
    /// A listed one that asks first.
    Preflight(HeaderValue),
    /// Any other.
    Refused,
}

impl Cors {
    /// Judges a request by its origin.
    pub(super) fn judge(&self, request: &Request) -> Verdict {
        let Some(origin) = request.headers().get(ORIGIN) else {
            return Verdict::Own;
        };
        if !origin.to_str().is_ok_and(|origin| self.lists(origin)) {
            // A page of our own host needs no permission: its preflight is an ordinary OPTIONS (D36).
            return if is_own(request, origin) {
                Verdict::Own
            } else {
                Verdict::Refused
            };
        }
        let preflight = request.method() == Method::OPTIONS
            && request
                .headers()
                .contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if preflight {
            Verdict::Preflight(origin.clone())
        } else {
            Verdict::Listed(origin.clone())
        }
    }
}

/// What a page may send.
pub(super) fn preflight(origin: HeaderValue) -> Response {
    let mut response = allow(empty_response(StatusCode::NO_CONTENT), origin);
    response.headers_mut().insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static(METHODS),
    );
    response.headers_mut().insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(HEADERS),
    );
    response
}

fn is_own(request: &Request, origin: &HeaderValue) -> bool {
    let authority = origin.to_str().ok().and_then(|o| {
        o.strip_prefix("http://")
            .or_else(|| o.strip_prefix("https://"))
    });
    authority.is_some() && authority == host::named(request)
}

/// Marks an answer for a listed origin.
pub(super) fn allow(mut response: Response, origin: HeaderValue) -> Response {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        ACCESS_CONTROL_ALLOW_CREDENTIALS,
        HeaderValue::from_static("true"),
    );
    headers.append(VARY, HeaderValue::from_static("Origin"));
    response
}
