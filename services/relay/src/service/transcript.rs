//! The transcript of an agent's session, from the agent itself.
//!
//! The agent is told nothing of who asks: no credential of the caller, nor any of
//! the platform's, goes to an address that the agent chose (contract/flaws.md, 34).
//! What goes is a word for this alone, good for a minute, that only who has the
//! agent's token can check (`candor_identity::scoped`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use candor_egress::{AgentRequest, Collected, DialError, Egress, Progress};
use candor_identity::{Call, scoped};
use candor_kernel::{Error, Reason};
use candor_process::telemetry::propagation::TraceParent;
use candor_proto::registry::v1 as registry;
use candor_proto::relay::v1 as pb;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method};
use serde::Deserialize;
use url::{Url, form_urlencoded};

use crate::app::App;
use crate::forward::relay;
use crate::target::Target;

/// What an agent has for its answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// What a whole call has.
pub(super) const LONGEST: Duration = Duration::from_secs(13);
/// A longer transcript is cut there.
const MOST: usize = 1024 * 1024;
/// The parameters that are passed on.
const PASSED: [&str; 2] = ["since", "limit"];

pub(super) async fn get(
    app: Arc<App>,
    call: Call,
    request: pb::GetTranscriptRequest,
) -> Result<pb::GetTranscriptResponse, Error> {
    let id = super::workspace(&request.workspace_id)?;
    call.self_or_operator(id)?;
    let target = Target::resolve(&app.resolver, id, None).await?;
    let url = address(&target, &request.query)?;
    let word = word(&app, &request.workspace_id).await?;
    let asked = tokio::time::timeout(DEADLINE, ask(&app.egress, url, &word));
    asked
        .await
        .unwrap_or_else(|_| Err(unreachable("no answer in time")))
}

async fn word(app: &App, workspace_id: &str) -> Result<String, Error> {
    let request = registry::SignForAgentRequest {
        workspace_id: workspace_id.to_owned(),
        purpose: scoped::TRANSCRIPT.to_owned(),
    };
    let signed = app
        .services
        .registry
        .call(&relay(), request, |mut c, r| async move {
            c.sign_for_agent(r).await
        })
        .await?;
    Ok(signed.word)
}

async fn ask(egress: &Egress, url: Url, word: &str) -> Result<pb::GetTranscriptResponse, Error> {
    let request = AgentRequest {
        method: Method::GET,
        url: url.into(),
        headers: headers(word),
        body: Bytes::new(),
    };
    let response = match egress.send(request, &Progress::new()).await {
        Ok(response) => response,
        Err(error @ DialError::AddressRefused(_)) => {
            return Err(Error::new(Reason::InvalidUrl, "workspace URL not allowed")
                .with_internal(error.detail()));
        }
        Err(error) => return Err(unreachable(&error.detail())),
    };
    if response.status.is_redirection() {
        return Err(unreachable("a redirect, which is not followed"));
    }
    let content_type = response.headers.get(CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    let body = match response.body.collect(MOST).await {
        Ok(Collected::Whole(body) | Collected::Larger(body)) => body,
        Err(error) => return Err(unreachable(error.detail())),
    };
    Ok(pb::GetTranscriptResponse {
        status: i32::from(response.status.as_u16()),
        content_type,
        body,
    })
}

fn headers(word: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, */*"));
    headers.insert(USER_AGENT, HeaderValue::from_static("candor"));
    if let (false, Ok(bearer)) = (
        word.is_empty(),
        HeaderValue::try_from(format!("Bearer {word}")),
    ) {
        headers.insert(AUTHORIZATION, bearer);
    }
    let parent = TraceParent::current().map(|parent| parent.to_string());
    if let Some(Ok(parent)) = parent.map(HeaderValue::try_from) {
        headers.insert("traceparent", parent);
    }
    headers
}

fn unreachable(internal: &str) -> Error {
    Error::new(Reason::AgentUnreachable, "workspace unreachable").with_internal(internal)
}

/// `/transcript` on the host of the agent's card, else on that of its registered
/// address (contract/neighbours.md; deviation D59).
fn address(target: &Target, query: &str) -> Result<Url, Error> {
    #[derive(Deserialize)]
    struct Card {
        url: String,
    }
    let card: Option<Card> = serde_json::from_str(&target.agent_card).ok();
    let is_empty = card.as_ref().is_some_and(|card| card.url.is_empty());
    let url = card.map(|card| card.url).filter(|url| !url.is_empty());
    let url = match (url, target.url.as_str()) {
        (Some(url), _) => url,
        (None, "") if is_empty => {
            let text = "workspace not registered (no URL on file)";
            return Err(Error::new(Reason::NoUrl, text));
        }
        (None, "") => return Err(Error::new(Reason::WorkspaceNotFound, "workspace not found")),
        (None, url) => url.to_owned(),
    };
    let invalid = || Error::new(Reason::InvalidUrl, "invalid workspace URL");
    let mut url = Url::parse(&url).map_err(|_| invalid())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(invalid());
    }
    url.set_path("/transcript");
    url.set_fragment(None);
    url.set_query(passed(query).as_deref());
    Ok(url)
}

fn passed(query: &str) -> Option<String> {
    let mut passed = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if PASSED.contains(&name.as_ref()) {
            passed.append_pair(&name, &value);
        }
    }
    Some(passed.finish()).filter(|query| !query.is_empty())
}
