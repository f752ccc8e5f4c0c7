//! Who said what to whom (contract/activity.md).

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use candor_kernel::Error;
use candor_peers::time::timestamp;
use candor_proto::activity::v1 as pb;
use chrono::{DateTime, Utc};
use futures::stream;

use crate::legacy::App;
use crate::legacy::answer::{self, Answer};
use crate::legacy::call::{Call, bad_request, bind};
use crate::legacy::json::encode::{Map, Members as _, array};
use crate::legacy::json::exact::{Exact, TextError};
use crate::legacy::shapes;

const MALFORMED: &str = "invalid request body";
/// Rows that legacy clients get when they name no number, and at most.
const USUAL: usize = 100;
const MOST: usize = 500;

/// GET /workspaces/:id/activity.
pub(crate) async fn list(app: Arc<App>, call: Call) -> Answer {
    let request = list_request(&call)?;
    let mut page = page(&app, &call, request.clone()).await?;
    let seen = std::mem::take(&mut page.queued_before_cursor);
    super::relay::seen(&app, &request.workspace_id, seen).await;
    let wanted = usize::try_from(request.limit).unwrap_or(MOST);
    let rest = wanted.saturating_sub(page.activities.len());
    let items: Vec<_> = page.activities.iter().map(shapes::activity).collect();
    if page.next_page_token.is_empty() || rest == 0 {
        return Ok(answer::ok(array(items)));
    }
    // Bodies may be large: what does not fit in a page is sent as it is read.
    let first = format!("[{}", items.join(","));
    let next = Next {
        app,
        call: Arc::new(call),
        request: pb::ListRequest {
            page_token: page.next_page_token,
            ..request
        },
        rest,
    };
    let pages = stream::try_unfold((Some(first), Some(next)), go_on);
    Ok(answer::json_stream(Body::from_stream(pages)))
}

/// The rest of a list.
struct Next {
    app: Arc<App>,
    call: Arc<Call>,
    request: pb::ListRequest,
    rest: usize,
}

type Progress = (Option<String>, Option<Next>);

async fn go_on((text, next): Progress) -> Result<Option<(String, Progress)>, Error> {
    if let Some(text) = text {
        return Ok(Some((text, (None, next))));
    }
    let Some(mut next) = next else {
        return Ok(None);
    };
    next.request.limit = i32::try_from(next.rest).unwrap_or(i32::MAX);
    let page = page(&next.app, &next.call, next.request.clone()).await;
    let page = page.inspect_err(|error| {
        let internal = error.internal_text();
        tracing::warn!(id = %next.call.id, internal, "a list broke off: {error}");
    })?;
    next.rest = next.rest.saturating_sub(page.activities.len());
    let mut text = String::new();
    for row in &page.activities {
        text.push(',');
        text.push_str(&shapes::activity(row));
    }
    next.request.page_token = page.next_page_token;
    if next.rest == 0 || next.request.page_token.is_empty() {
        text.push(']');
        return Ok(Some((text, (None, None))));
    }
    Ok(Some((text, (None, Some(next)))))
}

async fn page(app: &App, call: &Call, request: pb::ListRequest) -> Result<pb::ListResponse, Error> {
    app.activity
        .call(
            &call.caller,
            request,
            |mut c, r| async move { c.list(r).await },
        )
        .await
}

fn list_request(call: &Call) -> Result<pb::ListRequest, Error> {
    let query = |name| {
        call.query(name)
            .filter(|value| !value.is_empty())
            .map(Cow::into_owned)
    };
    let limit = query("limit").and_then(|limit| limit.parse::<i64>().ok());
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.filter(|limit| *limit > 0).unwrap_or(USUAL).min(MOST);
    let before = query("before_ts")
        .map(|text| {
            DateTime::parse_from_rfc3339(&text)
                .map_err(|_| bad_request("before_ts must be an RFC 3339 time"))
        })
        .transpose()?;
    Ok(pb::ListRequest {
        workspace_id: call.workspace_id()?.to_string(),
        r#type: query("type"),
        source: query("source"),
        limit: i32::try_from(limit).unwrap_or(i32::MAX),
        since_id: query("since_id"),
        peer_id: query("peer_id"),
        before: before.map(|at| timestamp(at.with_timezone(&Utc))),
        page_token: String::new(),
        oldest_first: false,
    })
}

/// POST /workspaces/:id/activity.
pub(crate) async fn report(app: Arc<App>, call: Call) -> Answer {
    let request = record_request(&call)?;
    app.activity
        .call(&call.caller, request, |mut c, r| async move {
            c.record(r).await
        })
        .await?;
    Ok(answer::status("logged"))
}

fn record_request(call: &Call) -> Result<pb::RecordRequest, Error> {
    let exact = Exact::parse(&call.body).map_err(|_| bad_request(MALFORMED))?;
    let text = |name: &'static str| {
        exact.text(name).map_err(|error| match error {
            TextError::Malformed => bad_request(MALFORMED),
            TextError::NotUtf8 => Error::field(name, format!("{name} must be valid UTF-8")),
        })
    };
    let some = |name: &'static str| text(name).map(Some);
    let body = |name: &'static str| {
        exact.body(name).map(|content| pb::Body {
            content: content.into_owned().into(),
            ..pb::Body::default()
        })
    };
    let activity_type = text("activity_type")?;
    if activity_type.is_empty() {
        return Err(bad_request(MALFORMED));
    }
    Ok(pb::RecordRequest {
        // Chosen here, so that one request is one row, whatever is repeated below.
        id: uuid::Uuid::now_v7().to_string(),
        workspace_id: call.workspace_id()?.to_string(),
        activity_type,
        method: some("method")?,
        summary: some("summary")?,
        target_id: some("target_id")?,
        status: some("status")?,
        error_detail: some("error_detail")?,
        duration_ms: exact
            .object()
            .integer_i32("duration_ms")
            .map_err(bind(MALFORMED))?,
        request_body: body("request_body").or_else(|| body("metadata")),
        response_body: body("response_body"),
        source_id: text("source_id")?,
    })
}

/// GET /workspaces/:id/session-search.
pub(crate) async fn search(app: Arc<App>, call: Call) -> Answer {
    let request = pb::SearchSessionRequest {
        workspace_id: call.workspace_id()?.to_string(),
        q: call.query("q").map(Cow::into_owned).unwrap_or_default(),
        limit: call.number("limit"),
    };
    let found = app
        .activity
        .call(&call.caller, request, |mut c, r| async move {
            c.search_session(r).await
        })
        .await?;
    Ok(answer::ok(array(found.found.iter().map(find))))
}

fn find(found: &pb::Found) -> String {
    let item = Map::new()
        .string("kind", &found.kind)
        .string("id", &found.id)
        .string("workspace_id", &found.workspace_id)
        .string("label", &found.label)
        .string("content", &found.content)
        .string("method", &found.method)
        .string("status", &found.status)
        .member("created_at", |json| match &found.created_at {
            Some(at) => shapes::time(json, Some(at)),
            None => json.string(""),
        });
    let item = shapes::with_body(item, "request_body", found.request_body.as_ref());
    shapes::with_body(item, "response_body", found.response_body.as_ref()).finish()
}
