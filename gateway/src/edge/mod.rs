//! What happens to every HTTP request before a route sees it, and to every answer after (contract/auth.md, D36).
//!
//! Each module is one rule; [`Edge::wrap`] applies them around a router in the only order that is right. They are plain
//! functions in one service, not a stack of layers: a layer each would cost a beat more than deciding it.

pub mod address;
pub mod cors;
pub mod host;
pub mod methods;
pub mod paths;
pub mod rate_headers;
pub mod security_headers;

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use futures::future::BoxFuture;
use tower::{BoxError, Service};

use crate::legacy::json::encode::error_body;

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
    #[must_use]
    pub fn wrap(self, router: Router) -> Edged {
        Edged {
            edge: Arc::new(self),
            router: router.fallback(paths::not_found),
        }
    }

    async fn handle(&self, router: Router, request: Request) -> Response {
        let policy = security_headers::policy(request.uri().path());
        let mut response = self.admit(router, request).await;
        if self.open_host.is_some() {
            rate_headers::say_unlimited(&mut response);
        }
        security_headers::set(&mut response, policy);
        response
    }

    async fn admit(&self, router: Router, request: Request) -> Response {
        let foreign = self
            .open_host
            .as_ref()
            .and_then(|hosts| hosts.refuse(&request));
        if let Some(refusal) = foreign {
            return refusal;
        }
        match self.cors.judge(&request) {
            cors::Verdict::Refused => empty_response(StatusCode::FORBIDDEN),
            cors::Verdict::Own => self.route(router, request).await,
            cors::Verdict::Preflight(origin) => cors::preflight(origin),
            cors::Verdict::Listed(origin) => cors::allow(self.route(router, request).await, origin),
        }
    }

    async fn route(&self, mut router: Router, request: Request) -> Response {
        let is_options = methods::is_options(&request);
        let response = match self.paths.answer(&request) {
            Some(answer) => answer,
            None => match router.call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            },
        };
        methods::word(response, is_options)
    }
}

/// A router with the edge around it.
#[derive(Clone)]
pub struct Edged {
    edge: Arc<Edge>,
    router: Router,
}

impl<B> Service<axum::http::Request<B>> for Edged
where
    B: axum::body::HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: axum::http::Request<B>) -> Self::Future {
        let (edge, router) = (Arc::clone(&self.edge), self.router.clone());
        let request = request.map(Body::new);
        Box::pin(async move { Ok(edge.handle(router, request).await) })
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
