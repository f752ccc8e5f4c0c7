//! GET /workspaces/:id/transcript: what an agent tells of its session
//! (contract/neighbours.md).

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use candor_proto::relay::v1 as pb;

use crate::legacy::App;
use crate::legacy::answer::Answer;
use crate::legacy::call::Call;

/// Longer than the relay's own limit.
const DEADLINE: Duration = Duration::from_secs(15);
/// What a browser shows without running anything of it.
const HARMLESS: [&str; 4] = [
    "application/json",
    "application/x-ndjson",
    "application/jsonl",
    "text/plain",
];

/// See the module.
pub(crate) async fn get(app: Arc<App>, call: Call) -> Answer {
    let request = pb::GetTranscriptRequest {
        workspace_id: call.workspace_id()?.to_string(),
        query: call.query.clone(),
    };
    let transcript = app
        .relay
        .call_within(DEADLINE, &call.caller, request, |mut c, r| async move {
            c.get_transcript(r).await
        })
        .await?;
    let status = u16::try_from(transcript.status).ok();
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let mut response = Response::new(Body::from(transcript.body));
    *response.status_mut() = status.unwrap_or(StatusCode::BAD_GATEWAY);
    let kind = harmless(&transcript.content_type);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

/// The agent's content type, unless it would make its words a page of the
/// platform's.
fn harmless(content_type: &str) -> HeaderValue {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let is_harmless = HARMLESS
        .iter()
        .any(|known| kind.eq_ignore_ascii_case(known));
    HeaderValue::from_str(content_type)
        .ok()
        .filter(|_| is_harmless)
        .unwrap_or(HeaderValue::from_static("application/octet-stream"))
}
