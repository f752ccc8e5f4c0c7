//! What happens to every HTTP request before a route sees it, and to every answer after (contract/auth.md, D36).
//!
//! Each module is one middleware; [`Edge::wrap`] puts them around a router in the only order that is right.

pub mod cors;
pub mod host;
pub mod methods;
pub mod paths;
pub mod rate_headers;
pub mod security_headers;

use crate::legacy::json::encode::error_body;
use axum::Router;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;

/// The settings of one listener's edge.
#[derive(Clone)]
pub struct Edge {
    /// Whose pages may call.
    pub cors: cors::Cors,
    /// Which paths exist, for the trailing-slash redirects.
    pub paths: paths::Paths,
    /// `Some` on an open listener: which Host headers pass. It also says that no rate limit applies.
    pub open_host: Option<host::HostPolicy>,
}

impl Edge {
    /// Puts the edge around `router`, whose fallback becomes the legacy 404. Call it after all routes are added.
    ///
    /// From the outside in: security headers, rate headers, Host, CORS, methods, paths. So refusals of the inner ones
    /// carry the headers of the outer ones, and a refused Host learns nothing about origins or routes.
    ///
    /// The router stays whole inside another one: axum adds `Allow` to a 405 outside of a router's own layers, so these
    /// could not see it.
    pub fn wrap(self, router: Router) -> Router {
        let mut router = Router::new()
            .fallback_service(router.fallback(paths::not_found))
            .layer(from_fn_with_state(self.paths, paths::apply))
            .layer(from_fn(methods::apply))
            .layer(from_fn_with_state(self.cors, cors::apply));
        if let Some(policy) = self.open_host {
            router = router
                .layer(from_fn_with_state(policy, host::apply))
                .layer(from_fn(rate_headers::apply));
        }
        router.layer(from_fn(security_headers::apply))
    }
}

/// A legacy error: `{"error":"<text>"}` with the content type of handler JSON (wire conventions 6 and 7).
#[must_use]
pub fn error_response(status: StatusCode, text: &str) -> Response {
    let mut response = Response::new(Body::from(error_body(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=utf-8"),
    );
    response
}

/// An answer without body and without content type.
#[must_use]
pub fn empty_response(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests;
