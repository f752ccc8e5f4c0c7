//! Callers of the agent, and what is answered in its place.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use bytes::Bytes;
use candor_a2a::jsonrpc::Id;
use candor_egress::AgentRequest;
use http::StatusCode;
use http::header::HOST;
use http::request::Parts as RequestHead;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use url::Url;

use super::asked::{Asked, Kind, strip_request, understand};
use super::body;
use super::call::{Call, Plan};
use super::card::WELL_KNOWN;
use super::fault::Fault;
use super::out::{Head, Out};
use super::{Parts, Proxy};

/// When whoever found no room should come again.
pub(super) const BUSY: Duration = Duration::from_secs(1);

/// Everything but what this process answers itself goes to the agent.
pub(super) fn router(proxy: Proxy) -> Router {
    let mut router = Router::new()
        .route("/healthz", get(healthz))
        .route("/transcript", any(|| async { StatusCode::NOT_FOUND }));
    for path in WELL_KNOWN {
        router = router.route(path, get(card));
    }
    router.fallback(forward).with_state(proxy)
}

async fn healthz(State(proxy): State<Proxy>) -> Response {
    match proxy.0.vitals.wedge_reason() {
        None => axum::Json(json!({"status": "ok"})).into_response(),
        Some(reason) => {
            let body = axum::Json(json!({"status": "wedged", "reason": &*reason}));
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

async fn card(State(proxy): State<Proxy>, request: Request) -> Response {
    let own_url = proxy.0.own_url.lock().clone();
    let Some(own_url) = own_url.or_else(|| asked_at(&request)) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    match proxy.card(&own_url).await {
        Ok(card) => axum::Json(card).into_response(),
        Err(error) => {
            let body = axum::Json(json!({"error": error.to_string()}));
            (StatusCode::BAD_GATEWAY, body).into_response()
        }
    }
}

/// Where whoever asks found this process.
fn asked_at(request: &Request) -> Option<Url> {
    let host = request.headers().get(HOST)?.to_str().ok()?;
    Url::parse(&format!("http://{host}/")).ok()
}

async fn forward(State(proxy): State<Proxy>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = match body::read(body, &proxy.0.bodies).await {
        Ok(body) => body,
        Err(fault) => return fault.response(&Id::NULL),
    };
    let asked = understand(&head.method, head.uri.path(), &body);
    let id = asked.id.clone();
    match begin(&proxy, head, asked, body) {
        Err(fault) => fault.response(&id),
        Ok(answer) => told(answer, &id).await,
    }
}

/// Begins a call, which goes on when its caller leaves.
fn begin(proxy: &Proxy, head: RequestHead, asked: Asked, body: Bytes) -> Result<Head, Fault> {
    let parts = &proxy.0;
    let place = parts.admit(asked.kind)?;
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut headers = head.headers;
    strip_request(&mut headers);
    let request = AgentRequest {
        method: head.method,
        url: parts.url_of(path),
        headers,
        body,
    };
    let is_message = asked.kind == Kind::Message;
    let counted = is_message.then(|| parts.vitals.begin(&asked.text));
    let plan = Plan {
        kind: asked.kind,
        form: asked.form,
        counted,
    };
    Ok(start(parts, plan, place, request, asked.id))
}

/// Starts a call; as many run as there are places.
pub(super) fn start(
    parts: &Arc<Parts>,
    plan: Plan,
    place: OwnedSemaphorePermit,
    request: AgentRequest,
    id: Id<'static>,
) -> Head {
    let (out, answer) = Out::new(id);
    let call = Call::new(Arc::clone(parts), plan, place, out);
    tokio::spawn(call.run(request));
    answer
}

async fn told(answer: Head, id: &Id<'_>) -> Response {
    let begun = match answer.await {
        Ok(Ok(begun)) => begun,
        Ok(Err(fault)) => return fault.response(id),
        Err(_) => return Fault::lost("the call was given up").response(id),
    };
    let mut response = Response::new(begun.body.into_body());
    *response.status_mut() = begun.status;
    *response.headers_mut() = begun.headers;
    response
}

impl Parts {
    /// A place for a call, if it is tried at all.
    pub(super) fn admit(&self, kind: Kind) -> Result<OwnedSemaphorePermit, Fault> {
        let is_message = kind == Kind::Message;
        let places = match kind {
            Kind::Message => &self.messages,
            Kind::Subscribe => &self.subscriptions,
            Kind::Read | Kind::Other => &self.others,
        };
        let again = self.settings.canary_every;
        if is_message && let Some(reason) = self.vitals.standing().refusal() {
            return Err(Fault::retired(reason, again));
        }
        let place = Arc::clone(places).try_acquire_owned();
        let place = place.map_err(|_| Fault::busy(self.settings.concurrency, BUSY))?;
        // Asked last: the one call that is tried is one that has a place.
        if is_message
            && let Some(reason) = self.vitals.wedge_reason()
            && !self.judge.lock().tries(Instant::now())
        {
            return Err(Fault::wedged(&reason, again));
        }
        Ok(place)
    }
}
