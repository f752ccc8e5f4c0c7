//! What a handler sees of a request.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::ws::WebSocketUpgrade;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use candor_identity::{ListenerMode, Presented};
use candor_kernel::{Caller, Error, WorkspaceId};
use http_body_util::BodyExt as _;
use url::form_urlencoded;

use super::json::bind::{BindError, Malformed, Object};
use crate::edge::error_response;

/// A JSON body may have this many bytes (deviation D4).
const MOST_JSON: usize = 1024 * 1024;
/// One with files in it (deviation D4).
const MOST_WITH_FILES: usize = 8 * 1024 * 1024;
/// A body that is too large is read to here, so that its sender reads the answer
/// instead of a broken connection.
const MOST_DRAINED: usize = 16 * 1024 * 1024;
/// Longest wait for a whole body.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

/// A request, authenticated as far as its route allows.
pub(crate) struct Call {
    /// Who calls; `Anonymous` where the body says for whom (`Who::speaks_for_subject`).
    pub caller: Caller,
    /// What was presented, for handlers that authenticate by the body.
    pub presented: Presented,
    /// The listener's mode.
    pub mode: ListenerMode,
    /// The route's first parameter, decoded; empty if it has none.
    pub id: String,
    /// The route's second parameter.
    pub item: String,
    /// The query as sent.
    pub query: String,
    /// Headers, identity taken out.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The handshake of a WebSocket, on the one route that takes it.
    pub upgrade: Option<WebSocketUpgrade>,
}

impl Call {
    /// A parameter of the query: the first of its name.
    pub fn query(&self, name: &str) -> Option<Cow<'_, str>> {
        form_urlencoded::parse(self.query.as_bytes())
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    /// True if a parameter is exactly `true`.
    pub fn flag(&self, name: &str) -> bool {
        self.query(name).is_some_and(|value| value == "true")
    }

    /// A parameter as a number; 0 if it is none.
    pub fn number(&self, name: &str) -> i32 {
        self.query(name)
            .and_then(|value| value.parse().ok())
            .unwrap_or_default()
    }

    /// The workspace of the path.
    ///
    /// # Errors
    /// 400 `invalid workspace ID`.
    pub fn workspace_id(&self) -> Result<WorkspaceId, Error> {
        self.id
            .parse()
            .map_err(|_| bad_request("invalid workspace ID"))
    }

    /// The same where the original takes an id in one way of writing only.
    ///
    /// # Errors
    /// 400 `invalid workspace ID`.
    pub fn canonical_workspace_id(&self) -> Result<WorkspaceId, Error> {
        self.workspace_id().and_then(|id| {
            if id.to_string() == self.id {
                Ok(id)
            } else {
                Err(bad_request("invalid workspace ID"))
            }
        })
    }

    /// The body as a JSON object.
    ///
    /// # Errors
    /// 400 with the route's own words.
    pub fn object(&self, malformed: &'static str) -> Result<Object, Error> {
        Object::parse(&self.body).map_err(|Malformed| bad_request(malformed))
    }
}

/// A 400 with these words.
pub(crate) fn bad_request(text: impl Into<Cow<'static, str>>) -> Error {
    Error::field("body", text)
}

/// Words a bind error: the route's own, or the field that is out of range.
pub(crate) fn bind(malformed: &'static str) -> impl Fn(BindError) -> Error {
    move |error| match error {
        BindError::Malformed => bad_request(malformed),
        out_of_range @ BindError::OutOfRange { .. } => bad_request(out_of_range.to_string()),
    }
}

/// Reads a body up to the limit.
///
/// # Errors
/// The answer: 413 for one that is too large, 408 for one that does not come,
/// 400 for one that breaks off.
pub(crate) async fn read_body(body: Body, path: &str) -> Result<Bytes, Response> {
    // Most requests have little to say, and all of it is here already.
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    match tokio::time::timeout(BODY_DEADLINE, collect(body, most(path))).await {
        Ok(read) => read,
        Err(_) => Err(error_response(
            StatusCode::REQUEST_TIMEOUT,
            "the request body did not arrive in time",
        )),
    }
}

/// The longest body of a route, in bytes.
fn most(path: &str) -> usize {
    let with_files = ["/workspaces/{id}/files", "/templates/", "/bundles/"];
    match with_files.iter().any(|head| path.starts_with(head)) {
        true => MOST_WITH_FILES,
        false => MOST_JSON,
    }
}

async fn collect(mut body: Body, most: usize) -> Result<Bytes, Response> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(error_response(
                StatusCode::BAD_REQUEST,
                "the request body broke off",
            ));
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        seen += data.len();
        if seen > MOST_DRAINED {
            break;
        }
        if seen > most {
            continue;
        }
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&data);
        }
    }
    if seen > most {
        return Err(error_response(
            StatusCode::PAYLOAD_TOO_LARGE,
            "request body too large",
        ));
    }
    Ok(if rest.is_empty() {
        first
    } else {
        rest.freeze()
    })
}
