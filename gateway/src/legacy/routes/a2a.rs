//! POST /workspaces/:id/a2a: a message to a workspace's agent (contract/a2a.md).

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use candor_kernel::Error;
use candor_peers::no_answer;
use candor_peers::time::duration;
use candor_process::grpc::from_status;
use candor_proto::relay::v1 as pb;
use candor_proto::relay::v1::deliver_response::Part;
use futures::Stream;
use tonic::Streaming;

use crate::legacy::App;
use crate::legacy::answer::Answer;
use crate::legacy::call::Call;
use crate::legacy::json::encode::{Map, Members as _, error_body};

/// The relay ends every call within half an hour; this is for a relay that does not.
const CALL_DEADLINE: Duration = Duration::from_secs(31 * 60);
/// Silence of a stream after which its reader is told that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// See the module.
pub(crate) async fn send(app: Arc<App>, call: Call) -> Answer {
    let request = pb::DeliverRequest {
        workspace_id: call.workspace_id()?.to_string(),
        body: call.body.clone(),
        timeout: limit(&call.headers),
        door: pb::Door::Unspecified.into(),
        ..pb::DeliverRequest::default()
    };
    match deliver(&app, &call, request).await? {
        Delivery::Accepted(accepted) => Ok(queued(&accepted)),
        Delivery::Whole(head, body) => Ok(whole(&head, body)),
        Delivery::Stream(head, stream) => Ok(stream_of(&head, stream)),
    }
}

/// The caller's own limit, in whole seconds.
pub(crate) fn limit(headers: &HeaderMap) -> Option<prost_types::Duration> {
    let seconds = headers.get("x-timeout")?.to_str().ok()?;
    let seconds = seconds.parse::<u32>().ok().filter(|seconds| *seconds > 0)?;
    Some(duration(Duration::from_secs(u64::from(seconds))))
}

/// How a call was answered.
pub(crate) enum Delivery {
    /// It is delivered later.
    Accepted(pb::Accepted),
    /// All of it.
    Whole(pb::AnswerHead, Bytes),
    /// As it comes.
    Stream(pb::AnswerHead, Streaming<pb::DeliverResponse>),
}

/// Calls the relay, and reads an answer that is no stream.
///
/// # Errors
/// The relay's.
pub(crate) async fn deliver(
    app: &App,
    call: &Call,
    request: pb::DeliverRequest,
) -> Result<Delivery, Error> {
    let mut parts = app
        .relay
        .call(&call.caller, request, |mut c, r| async move {
            c.deliver(r).await
        })
        .await?;
    let reading = async {
        let head = match part(&mut parts).await? {
            Some(Part::Accepted(accepted)) => return Ok(Delivery::Accepted(accepted)),
            Some(Part::Head(head)) => head,
            Some(Part::Data(_)) | None => return Err(no_answer("the relay gave no answer")),
        };
        if is_stream(&head) {
            return Ok(Delivery::Stream(head, parts));
        }
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        while let Some(Part::Data(data)) = part(&mut parts).await? {
            if first.is_empty() && rest.is_empty() {
                first = data;
            } else {
                if rest.is_empty() {
                    rest.extend_from_slice(&first);
                }
                rest.extend_from_slice(&data);
            }
        }
        let body = if rest.is_empty() {
            first
        } else {
            rest.freeze()
        };
        Ok(Delivery::Whole(head, body))
    };
    tokio::time::timeout(CALL_DEADLINE, reading)
        .await
        .unwrap_or_else(|_| Err(no_answer("the relay did not end a call")))
}

async fn part(parts: &mut Streaming<pb::DeliverResponse>) -> Result<Option<Part>, Error> {
    let part = parts.message().await;
    Ok(part
        .map_err(|status| from_status(&status))?
        .and_then(|p| p.part))
}

fn is_stream(head: &pb::AnswerHead) -> bool {
    let kind = head.content_type.split(';').next().unwrap_or_default();
    head.status < 300 && kind.trim().eq_ignore_ascii_case("text/event-stream")
}

/// 202: accepted.
fn queued(accepted: &pb::Accepted) -> Response {
    let message = match accepted.polls {
        true => "workspace fetches its messages — request queued until it does",
        false => "workspace agent busy — request queued, will dispatch when capacity available",
    };
    let body = Map::new()
        .string("message", message)
        .int("queue_depth", i64::from(accepted.queue_depth))
        .string("queue_id", &accepted.queue_id)
        .bool("queued", true)
        .finish();
    answer(StatusCode::ACCEPTED, body.into(), JSON)
}

/// The agent's answer as it came; an error that is no JSON becomes one (D6).
fn whole(head: &pb::AnswerHead, body: Bytes) -> Response {
    let status = status(head);
    let is_error = head.status >= 300;
    let mut response =
        if is_error && serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_err() {
            let text = status.canonical_reason().unwrap_or("error");
            answer(
                status,
                error_body(text).into(),
                HeaderValue::from_static("application/json; charset=utf-8"),
            )
        } else {
            answer(status, body, JSON)
        };
    if let (false, Ok(after)) = (
        head.retry_after.is_empty(),
        HeaderValue::from_str(&head.retry_after),
    ) {
        response.headers_mut().insert(RETRY_AFTER, after);
    }
    response
}

/// A stream of events as it comes, with a comment where it is silent for long.
pub(crate) fn stream_of(head: &pb::AnswerHead, parts: Streaming<pb::DeliverResponse>) -> Response {
    let mut response = Response::new(Body::from_stream(events(parts)));
    *response.status_mut() = status(head);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

type Chunk = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>;

fn events(parts: Streaming<pb::DeliverResponse>) -> impl Stream<Item = Chunk> {
    // Between events, where a comment may stand.
    let between = true;
    futures::stream::unfold(Some((parts, between)), |state| async move {
        let (mut parts, between) = state?;
        loop {
            match tokio::time::timeout(KEEP_ALIVE, part(&mut parts)).await {
                Ok(Ok(Some(Part::Data(data)))) => {
                    let between = data.ends_with(b"\n\n") || data.ends_with(b"\r\n\r\n");
                    return Some((Ok(data), Some((parts, between))));
                }
                Ok(Ok(_)) => return None,
                // The reader sees that the stream broke off.
                Ok(Err(error)) => return Some((Err(error.into()), None)),
                Err(_) if between => {
                    let comment = Bytes::from_static(b": keep-alive\n\n");
                    return Some((Ok(comment), Some((parts, between))));
                }
                Err(_) => {}
            }
        }
    })
}

fn status(head: &pb::AnswerHead) -> StatusCode {
    u16::try_from(head.status)
        .ok()
        .and_then(|status| StatusCode::from_u16(status).ok())
        .unwrap_or(StatusCode::BAD_GATEWAY)
}

fn answer(status: StatusCode, body: Bytes, kind: HeaderValue) -> Response {
    let mut response = Response::new(Body::new(http_body_util::Full::<Bytes>::new(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
