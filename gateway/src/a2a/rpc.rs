//! POST /a2a/:id: JSON-RPC, in A2A 0.3 and 1.0.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use candor_a2a::jsonrpc::{error_body, parse_request};
use candor_a2a::version;
use candor_kernel::{Error, ErrorKind, Reason};
use candor_process::grpc::to_status;
use candor_proto::relay::v1 as pb;

use crate::edge::address::platform_url;
use crate::legacy::App;
use crate::legacy::answer::Answer;
use crate::legacy::call::Call;
use crate::legacy::routes::a2a::{Delivery, deliver, limit, stream_of};

const A2A_VERSION: HeaderName = HeaderName::from_static(version::HEADER);
const A2A_EXTENSIONS: HeaderName = HeaderName::from_static("a2a-extensions");

/// Every failure but a refused caller's is an error of JSON-RPC, under the request's
/// id, with status 200.
pub(crate) async fn call(app: Arc<App>, call: Call) -> Answer {
    let request = pb::DeliverRequest {
        workspace_id: call
            .workspace_id()
            .map_or_else(|_| String::new(), |id| id.to_string()),
        body: call.body.clone(),
        timeout: limit(&call.headers),
        door: pb::Door::A2a.into(),
        a2a_version: version_of(&call),
        a2a_extensions: listed(&call.headers, &A2A_EXTENSIONS),
        base_url: platform_url(app.config.external_platform_url.as_deref(), &call.headers),
        needs_token: !call.mode.is_open(),
    };
    if request.workspace_id.is_empty() {
        let unknown = Error::new(Reason::WorkspaceNotFound, "workspace not found");
        return Ok(failed(&call.body, &unknown));
    }
    match deliver(&app, &call, request).await {
        Ok(Delivery::Whole(head, body)) => Ok(answered(json(body), &head)),
        Ok(Delivery::Stream(head, parts)) => Ok(answered(stream_of(&head, parts), &head)),
        Ok(Delivery::Accepted(_)) => {
            let why = "the relay queued a message of the A2A door";
            Ok(failed(&call.body, &Error::internal(why)))
        }
        Err(error) if is_about_identity(&error) => Err(error),
        Err(error) => Ok(failed(&call.body, &error)),
    }
}

/// The header, else the parameter, which has the same name (A2A 1.0.1, section 3.6).
fn version_of(call: &Call) -> String {
    let header = call.headers.get(&A2A_VERSION);
    let header = header.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    header.unwrap_or_else(|| {
        let mut all = url::form_urlencoded::parse(call.query.as_bytes());
        all.find(|(name, _)| name.eq_ignore_ascii_case(version::HEADER))
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    })
}

/// A header that may stand on several lines.
fn listed(headers: &HeaderMap, name: &HeaderName) -> String {
    let values = headers.get_all(name).into_iter();
    let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
    values.join(", ")
}

fn is_about_identity(error: &Error) -> bool {
    error.kind() == ErrorKind::Unauthenticated || error.reason() == Reason::InvalidCallerId
}

fn json(body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// What the platform refused, or could not do.
fn failed(body: &[u8], error: &Error) -> Response {
    let id = match parse_request(body) {
        Ok(request) => request.id,
        Err(refused) => refused.id,
    };
    let error = candor_a2a::Error::from_status(&to_status(error));
    json(error_body(&id, &error).into())
}

/// With the extensions that the agent activated.
fn answered(mut response: Response, head: &pb::AnswerHead) -> Response {
    if let (false, Ok(extensions)) = (
        head.a2a_extensions.is_empty(),
        HeaderValue::from_str(&head.a2a_extensions),
    ) {
        response.headers_mut().insert(A2A_EXTENSIONS, extensions);
    }
    response
}
