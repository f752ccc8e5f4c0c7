//! Trailing slashes, doubled slashes and unknown paths (contract/README.md, wire conventions 7 and 10).

use super::empty_response;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::Response;
use std::sync::Arc;

/// Knows which paths have a route.
#[derive(Clone)]
pub struct Paths {
    known: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl Paths {
    /// `known` gets a path as it was sent (not decoded, no query) and says whether any method is routed there.
    pub fn new(known: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self {
            known: Arc::new(known),
        }
    }

    /// Redirects `/known/` to `/known`, refuses paths that begin with two slashes.
    pub(super) fn answer(&self, request: &Request) -> Option<Response> {
        let path = request.uri().path();
        // Also keeps `//other.host/` out of Location, where it would name another host.
        if path.starts_with("//") {
            return Some(unknown());
        }
        match path.strip_suffix('/') {
            Some(bare) if !bare.is_empty() && !(self.known)(path) && (self.known)(bare) => {
                Some(redirect(request.method(), request.uri(), bare))
            }
            _ => None,
        }
    }
}

/// The fallback of the router: 404 in gin's words.
pub async fn not_found() -> Response {
    unknown()
}

fn unknown() -> Response {
    let mut response = Response::new(Body::from("404 page not found"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

fn redirect(method: &Method, uri: &Uri, bare: &str) -> Response {
    let target = uri
        .query()
        .map_or_else(|| bare.to_owned(), |query| format!("{bare}?{query}"));
    let Ok(location) = HeaderValue::from_str(&target) else {
        return empty_response(StatusCode::BAD_REQUEST);
    };
    let mut response = if method == Method::GET || method == Method::HEAD {
        let mut moved = Response::new(if method == Method::GET {
            page(&target)
        } else {
            Body::empty()
        });
        *moved.status_mut() = StatusCode::MOVED_PERMANENTLY;
        moved.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        );
        moved
    } else {
        // 307 makes the client repeat method and body.
        empty_response(StatusCode::TEMPORARY_REDIRECT)
    };
    response.headers_mut().insert(LOCATION, location);
    response
}

fn page(target: &str) -> Body {
    let mut link = String::with_capacity(target.len());
    for c in target.chars() {
        match c {
            '&' => link.push_str("&amp;"),
            '<' => link.push_str("&lt;"),
            '>' => link.push_str("&gt;"),
            '"' => link.push_str("&#34;"),
            '\'' => link.push_str("&#39;"),
            c => link.push(c),
        }
    }
    Body::from(format!("<a href=\"{link}\">Moved Permanently</a>.\n\n"))
}
