//! Agent cards: GET .well-known/agent-card.json, and agent.json for readers of A2A
//! before 0.3, below both addresses of a workspace.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use candor_kernel::{Error, Reason};
use candor_proto::relay::v1 as pb;

use crate::edge::address::platform_url;
use crate::legacy::App;
use crate::legacy::answer::Answer;
use crate::legacy::call::Call;

/// A card changes with its agent; a minute of the old one harms nobody. It is not
/// for caches that many share, since its addresses are those that the reader used.
const CACHE: HeaderValue = HeaderValue::from_static("private, max-age=60");
/// What the addresses in it depend on.
const VARIES: HeaderValue = HeaderValue::from_static("host, x-forwarded-host, x-forwarded-proto");

/// The card of a workspace, with an entity tag (A2A 1.0.1, section 8.6).
pub(crate) async fn card(app: Arc<App>, call: Call) -> Answer {
    let id = call
        .workspace_id()
        .map_err(|_| Error::new(Reason::WorkspaceNotFound, "workspace not found"))?;
    let request = pb::GetAgentCardRequest {
        workspace_id: id.to_string(),
        base_url: platform_url(app.config.external_platform_url.as_deref(), &call.headers),
        needs_token: !call.mode.is_open(),
    };
    let card = app
        .relay
        .call(&call.caller, request, |mut c, r| async move {
            c.get_agent_card(r).await
        })
        .await?;
    let known = call.headers.get_all(IF_NONE_MATCH).into_iter();
    let is_known =
        candor_a2a::card::is_known(known.filter_map(|value| value.to_str().ok()), &card.etag);
    let mut response = match is_known {
        true => Response::new(Body::empty()),
        false => Response::new(Body::from(card.card)),
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, CACHE);
    headers.insert(VARY, VARIES);
    if let Ok(etag) = HeaderValue::try_from(card.etag) {
        headers.insert(ETAG, etag);
    }
    match is_known {
        true => *response.status_mut() = StatusCode::NOT_MODIFIED,
        false => {
            let json = HeaderValue::from_static("application/json");
            headers.insert(CONTENT_TYPE, json);
        }
    }
    Ok(response)
}
