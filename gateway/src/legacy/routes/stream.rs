//! GET /workspaces/:id/events/stream: one workspace's events as server-sent
//! events (contract/activity.md, "SSE").

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use candor_identity::Who;
use candor_proto::registry::v1 as pb;
use futures::stream::{self, Stream};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::socket::since_seq;
use crate::events::{Cut, Feed};
use crate::legacy::App;
use crate::legacy::answer::Answer;
use crate::legacy::call::{Call, bad_request};
use crate::legacy::proof::{CHECK_EVERY, Proof};

/// Silence is broken by a comment this often, so that nothing in between takes
/// the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// GET /workspaces/:id/events/stream; resumes by `Last-Event-ID` or `since_seq`.
pub(crate) async fn stream(app: Arc<App>, call: Call) -> Answer {
    let id = call.workspace_id()?.to_string();
    let since = match call.headers.get(LAST_EVENT_ID) {
        Some(header) => Some(
            header
                .to_str()
                .ok()
                .and_then(|text| text.parse::<i64>().ok())
                .ok_or_else(|| bad_request("Last-Event-ID must be a number"))?,
        ),
        None => since_seq(&call)?,
    };
    let request = pb::GetWorkspaceRequest { id: id.clone() };
    app.registry
        .call(&call.caller, request, |mut c, r| async move {
            c.get_workspace(r).await
        })
        .await?;
    let feed = Feed::begin(Arc::clone(&app.hub), since).await?;
    let subject = Some(call.workspace_id()?);
    let proof = Proof::of(
        &app,
        &call.caller,
        &call.presented,
        call.mode,
        Who::WorkspaceOrOperator,
        subject,
    );
    let mut checks = interval(CHECK_EVERY);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Ok(response(lines(Reader {
        feed,
        proof,
        checks,
        id,
        begun: false,
        last_word: Instant::now(),
    })))
}

fn response(lines: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response {
    let mut response = Response::new(Body::from_stream(lines));
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-cache"),
        (CONNECTION, "keep-alive"),
        (X_ACCEL_BUFFERING, "no"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// One client of a stream.
struct Reader {
    feed: Feed,
    proof: Proof,
    /// On their own clock: events, other workspaces' too, put no check off.
    checks: Interval,
    id: String,
    begun: bool,
    last_word: Instant,
}

/// A first comment, then the workspace's events; ends when the feed is cut, and
/// the client resumes.
fn lines(reader: Reader) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    stream::unfold(reader, |mut reader| async move {
        let line = match reader.line().await {
            Ok(line) => line,
            Err(cut) => {
                metrics::counter!("candor_sockets_cut_total", "reason" => cut.label()).increment(1);
                return None;
            }
        };
        reader.last_word = Instant::now();
        Some((Ok(line), reader))
    })
}

impl Reader {
    async fn line(&mut self) -> Result<Bytes, Cut> {
        if !self.begun {
            self.begun = true;
            return Ok(Bytes::from_static(b": ping\n\n"));
        }
        loop {
            tokio::select! {
                biased;
                _ = self.checks.tick() => if !self.proof.is_good().await {
                    return Err(Cut::Revoked);
                },
                next = self.feed.next() => {
                    let frame = next?;
                    if frame.workspace_id == self.id {
                        return Ok(frame.stream());
                    }
                }
            }
            if self.last_word.elapsed() >= KEEP_ALIVE {
                return Ok(Bytes::from_static(b": keep-alive\n\n"));
            }
        }
    }
}
