//! POST `/` and `/a2a`: JSON-RPC 2.0.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use candor_a2a::jsonrpc::{Id, error_body, parse_request};
use candor_a2a::{Error, ErrorKind, Method, Version, translate, version};
use candor_process::telemetry::propagation;
use tracing::Instrument as _;
use url::form_urlencoded;

use super::again::is_repeat;
use super::body::{self, Held, NotRead};
use super::reply::{Asker, Outcome, Refusal, json};
use super::{Server, send, tasks};

/// One request, below the span of whoever sent it.
pub(super) async fn call(State(server): State<Arc<Server>>, request: Request) -> Response {
    let span = tracing::info_span!("a2a", otel.kind = "server", method = tracing::field::Empty);
    propagation::set_parent(&span, request.headers());
    answer(server, request).instrument(span).await
}

async fn answer(server: Arc<Server>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let (asker, params, held) = match read(&server, &parts, body).await {
        Ok(asked) => asked,
        Err(response) => return *response,
    };
    tracing::Span::current().record("method", asker.method.name(asker.version));
    let outcome = match params {
        Ok(params) => {
            let asked = Asked { params, held };
            dispatch(&server, &asker, asked, &parts.headers).await
        }
        Err(error) => Err(error.into()),
    };
    asker.respond(outcome)
}

/// Who asks what: params of 1.0, or why there are none; and what the request weighs.
type Read = (Asker, Result<String, Error>, Held);

/// What is asked.
struct Asked {
    params: String,
    held: Held,
}

/// Reads the envelope. The answer is of the version whose name the method has: callers
/// of 1.0 that forget the header mean what they say.
async fn read(
    server: &Server,
    parts: &Parts,
    body: axum::body::Body,
) -> Result<Read, Box<Response>> {
    let refuse = |status, id: &Id<'_>, error: &Error| Box::new(json(status, error_body(id, error)));
    let (bytes, held) = match body::read(body, &server.requests).await {
        Ok(read) => read,
        Err(NotRead::Refused(status, words)) => {
            let error = Error::new(ErrorKind::InvalidRequest, words);
            return Err(refuse(status, &Id::NULL, &error));
        }
        Err(NotRead::NoRoom) => {
            let later = Refusal::later("AGENT_BUSY", "too many large requests at a time");
            let body = error_body(&Id::NULL, &later.error);
            return Err(Box::new(later.response(body)));
        }
    };
    let request =
        parse_request(&bytes).map_err(|refused| Box::new(json(StatusCode::OK, refused.body())))?;
    let Some((method, version)) = Method::from_name(&request.method) else {
        let shown: String = request.method.chars().take(100).collect();
        let error = Error::new(
            ErrorKind::MethodNotFound,
            format!("no such method: {shown:?}"),
        );
        return Err(refuse(StatusCode::OK, &request.id, &error));
    };
    let params = Version::from_header(asked_version(parts).as_deref())
        .and_then(|_| translate::params(method, (version, Version::V10), request.params))
        .map(std::borrow::Cow::into_owned);
    let id = request.id.into_owned();
    let asker = Asker {
        id,
        method,
        version,
    };
    Ok((asker, params, held))
}

/// The header, else the parameter of the same name (A2A 1.0.1, section 3.6).
fn asked_version(parts: &Parts) -> Option<String> {
    if let Some(header) = parts.headers.get(version::HEADER) {
        return Some(String::from_utf8_lossy(header.as_bytes()).into_owned());
    }
    let query = parts.uri.query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name.eq_ignore_ascii_case(version::HEADER))
        .map(|(_, value)| value.into_owned())
}

async fn dispatch(
    server: &Arc<Server>,
    asker: &Asker,
    Asked { params, held }: Asked,
    headers: &HeaderMap,
) -> Outcome {
    let refused = |kind, text: &str| Err(Error::new(kind, text).into());
    match asker.method {
        Method::SendMessage => send::message(server, params, held, is_repeat(headers)).await,
        Method::SendStreamingMessage => {
            send::streaming(server, params, held, is_repeat(headers)).await
        }
        Method::GetTask => tasks::get(server, &params),
        Method::ListTasks => tasks::list(server, &params, headers),
        Method::CancelTask => tasks::cancel(server, &params).await,
        Method::SubscribeToTask => tasks::subscribe(server, &params),
        Method::CreatePushConfig
        | Method::GetPushConfig
        | Method::ListPushConfigs
        | Method::DeletePushConfig => {
            let kind = ErrorKind::PushNotificationNotSupported;
            refused(kind, "this agent calls no webhooks")
        }
        // 1.0 keeps the other error for agents that say that they have one.
        Method::GetExtendedCard => match asker.version {
            Version::V03 => refused(
                ErrorKind::ExtendedCardNotConfigured,
                "this agent has no extended card",
            ),
            Version::V10 => refused(
                ErrorKind::UnsupportedOperation,
                "this agent has no extended card",
            ),
        },
    }
}
