//! The way of every request: body, caller, handler, answer.

use std::sync::Arc;
use std::time::Instant;

use axum::RequestExt as _;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts as _, RawPathParams, Request};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use candor_identity::policy::HttpRow;
use candor_identity::{ListenerMode, Presented, Who};
use candor_kernel::{Caller, WorkspaceId};
use candor_process::telemetry::propagation;
use http::Method;
use tracing::Instrument as _;

use super::App;
use super::call::{Call, read_body};
use super::errors::{is_agents, respond};
use super::metrics::RouteMetrics;
use super::refusals::{malformed_id, refuse};
use super::routes::{Handler, handler};
use crate::edge::error_response;

/// One route on one listener.
pub(crate) struct Entrance {
    app: Arc<App>,
    mode: ListenerMode,
    row: &'static HttpRow,
    /// The span's name: method and route.
    name: String,
    handler: Handler,
    metrics: RouteMetrics,
}

impl Entrance {
    pub fn new(app: Arc<App>, mode: ListenerMode, row: &'static HttpRow) -> Self {
        Self {
            app,
            mode,
            row,
            name: format!("{} {}", row.method, row.path),
            handler: handler(row.method, row.path),
            metrics: RouteMetrics::new(row.method, row.path),
        }
    }
}

/// Serves one request.
pub(crate) async fn enter(entrance: Arc<Entrance>, request: Request) -> Response {
    let started = Instant::now();
    let row = entrance.row;
    let span = tracing::info_span!(
        "http",
        otel.name = entrance.name.as_str(),
        otel.kind = "server",
        http.request.method = row.method,
        http.route = row.path,
        http.response.status_code = tracing::field::Empty,
    );
    propagation::set_parent(&span, request.headers());
    let response = serve(&entrance, request).instrument(span.clone()).await;
    let status = response.status().as_u16();
    span.record("http.response.status_code", status);
    entrance.metrics.answered(status, started.elapsed());
    response
}

async fn serve(entrance: &Entrance, mut request: Request) -> Response {
    let (id, item) = match parameters(&mut request, entrance.row.path).await {
        Ok(parameters) => parameters,
        Err(response) => return response,
    };
    let (mut parts, body) = request.into_parts();
    let presented = Presented::from_headers(&parts.headers);
    Presented::strip(&mut parts.headers);
    let caller = match authenticate(entrance, &presented, &id).await {
        Ok(caller) => caller,
        Err(response) => return response,
    };
    let body = match parts.method {
        Method::GET | Method::HEAD | Method::DELETE => Bytes::new(),
        _ => match read_body(body, entrance.row.path).await {
            Ok(body) => body,
            Err(response) => return response,
        },
    };
    let upgrade = match entrance.row.who {
        Who::WebSocket => match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
            Ok(upgrade) => Some(upgrade),
            Err(refused) => {
                return error_response(StatusCode::BAD_REQUEST, &refused.body_text());
            }
        },
        _ => None,
    };
    let call = Call {
        caller,
        presented,
        mode: entrance.mode,
        id: id.clone(),
        item,
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body,
        upgrade,
    };
    match (entrance.handler)(Arc::clone(&entrance.app), call).await {
        Ok(response) => response,
        Err(error) => {
            let response = respond(&error);
            if response.status().is_server_error() && !is_agents(&error) {
                tracing::warn!(
                    route = %entrance.name,
                    status = response.status().as_u16(),
                    id = %id,
                    "answered an error"
                );
            }
            response
        }
    }
}

/// The route's parameters, percent-decoded.
async fn parameters(request: &mut Request, path: &str) -> Result<(String, String), Response> {
    if !path.contains('{') {
        return Ok(Default::default());
    }
    let Ok(parameters) = request.extract_parts::<RawPathParams>().await else {
        return Err(error_response(StatusCode::BAD_REQUEST, "malformed path"));
    };
    let mut values = parameters.iter().map(|(_, value)| value.to_owned());
    let first = values.next().unwrap_or_default();
    Ok((first, values.next().unwrap_or_default()))
}

/// Who calls, by the route's row; where the body says for whom, nobody yet.
async fn authenticate(
    entrance: &Entrance,
    presented: &Presented,
    id: &str,
) -> Result<Caller, Response> {
    let who = entrance.row.who;
    if who == Who::TestToken && !entrance.mode.is_open() && !entrance.app.config.test_tokens {
        return Err(error_response(StatusCode::NOT_FOUND, "not found"));
    }
    let subject = match subject(who, id) {
        Subject::Body => return Ok(Caller::Anonymous),
        Subject::None => None,
        Subject::Path(id) => Some(id),
        Subject::Malformed => {
            // Who is nobody learns nothing about ids.
            let known =
                entrance
                    .app
                    .identity
                    .authenticate(entrance.mode, presented, Who::PublicRead, None);
            known.await.map_err(|refusal| refuse(who, refusal))?;
            return Err(malformed_id(entrance.row.path));
        }
    };
    entrance
        .app
        .identity
        .authenticate(entrance.mode, presented, who, subject)
        .await
        .map_err(|refusal| refuse(who, refusal))
}

/// The workspace that a route is about, as its principal.
enum Subject {
    None,
    Body,
    Path(WorkspaceId),
    Malformed,
}

fn subject(who: Who, id: &str) -> Subject {
    match who {
        Who::Register | Who::Beat | Who::UpdateCard => Subject::Body,
        Who::OwnWorkspace
        | Who::WorkspaceOrOperator
        | Who::MintToken
        | Who::WorkspaceVoice
        | Who::Peers => id.parse().map_or(Subject::Malformed, Subject::Path),
        _ => Subject::None,
    }
}
