//! The API over HTTP.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::response::Response;
use http::{HeaderMap, Method, StatusCode, Uri, header};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::fault::Fault;
use super::kinds::{self, Kind};
use super::store::{Going, Refusal};
use super::{Shared, lock};

/// The largest body that is read; the real one takes 3 MiB.
const LARGEST: usize = 3 * 1024 * 1024;

pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let router = Router::new()
        .fallback(answer)
        .layer(axum::extract::DefaultBodyLimit::max(LARGEST))
        .with_state(shared);
    // It ends with its task only.
    let _ended = axum::serve(listener, router).await;
}

/// What a call is about.
struct Asked {
    kind: &'static Kind,
    namespace: String,
    name: Option<String>,
    verb: &'static str,
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(asked) = asked(&method, uri.path()) else {
        return refuse(&Refusal::new(
            404,
            "NotFound",
            "the server could not find the requested resource",
        ));
    };
    if let Err(refusal) = note(&shared, &asked) {
        return refuse(&refusal);
    }
    let fault = lock(&shared.faults).take(asked.verb, asked.kind.resource);
    match fault {
        Some(Fault::Silence) => pending().await,
        Some(Fault::Status(code, reason, message)) => {
            return refuse(&Refusal::new(code, reason, message));
        }
        Some(Fault::Text(code, text)) => return respond(code, "text/html", text.to_owned()),
        Some(Fault::DoneAndLost) => {
            let _lost = act(&shared, &asked, &query, &headers, &body);
            return lost();
        }
        None => {}
    }
    match act(&shared, &asked, &query, &headers, &body) {
        Ok((code, value)) => respond(code, "application/json", value.to_string()),
        Err(refusal) => refuse(&refusal),
    }
}

fn asked(method: &Method, path: &str) -> Option<Asked> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, rest) = match parts.as_slice() {
        ["api", "v1", rest @ ..] => ("", rest),
        ["apis", group, "v1", rest @ ..] => (*group, rest),
        _ => return None,
    };
    let (namespace, resource, name) = match rest {
        ["namespaces", namespace, resource] => (*namespace, *resource, None),
        ["namespaces", namespace, resource, name] => (*namespace, *resource, Some(*name)),
        _ => return None,
    };
    let kind = kinds::find(resource).filter(|kind| kind.group == group)?;
    let verb = match (method.as_str(), name.is_some()) {
        ("GET", true) => "get",
        ("GET", false) => "list",
        ("POST", false) => "create",
        ("PUT", true) => "update",
        ("PATCH", true) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ => return None,
    };
    Some(Asked {
        kind,
        namespace: namespace.to_owned(),
        name: name.map(str::to_owned),
        verb,
    })
}

/// Writes down what is done, and refuses what may not be done.
fn note(shared: &Shared, asked: &Asked) -> Result<(), Refusal> {
    let (group, resource) = (asked.kind.group, asked.kind.resource);
    let deed = (group.to_owned(), resource.to_owned(), asked.verb.to_owned());
    let allowed = lock(&shared.allowed);
    let may = allowed
        .as_ref()
        .is_none_or(|allowed| allowed.contains(&deed));
    lock(&shared.done).insert(deed);
    if may {
        return Ok(());
    }
    let message = format!(
        "{resource} is forbidden: User \"provisioner\" cannot {} resource {resource:?} in API group {group:?}",
        asked.verb
    );
    Err(Refusal::new(403, "Forbidden", message))
}

fn act(
    shared: &Shared,
    asked: &Asked,
    query: &BTreeMap<String, String>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(u16, Value), Refusal> {
    let (kind, namespace) = (asked.kind, asked.namespace.as_str());
    let name = asked.name.as_deref().unwrap_or_default();
    let mut store = shared.store();
    match asked.verb {
        "get" => Ok((200, store.get(kind, namespace, name)?)),
        "create" => Ok((201, store.create(kind, namespace, sent(body)?)?)),
        "update" => Ok((200, store.update(kind, namespace, name, sent(body)?)?)),
        "delete" => {
            let options = if body.is_empty() {
                json!({})
            } else {
                sent(body)?
            };
            let going = Going {
                grace: options["gracePeriodSeconds"].as_i64(),
                uid: options["preconditions"]["uid"].as_str().map(str::to_owned),
            };
            Ok((200, store.delete(kind, namespace, name, &going)?))
        }
        "list" => {
            let selector = query.get("labelSelector").map_or("", String::as_str);
            let found = store.list(kind, namespace, selector);
            let limit = query.get("limit").and_then(|limit| limit.parse().ok());
            let page = limit.unwrap_or(usize::MAX).min(store.page);
            let accept = headers.get(header::ACCEPT).and_then(|a| a.to_str().ok());
            let is_partial = accept.is_some_and(|a| a.contains("as=PartialObjectMetadataList"));
            let after = query.get("continue").map_or("", String::as_str);
            let version = store.resource_version();
            Ok((200, page_of(kind, found, after, page, &version, is_partial)))
        }
        other => Err(Refusal::new(
            405,
            "MethodNotAllowed",
            format!("{other} is not known here"),
        )),
    }
}

fn sent(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::new(400, "BadRequest", error.to_string()))
}

/// The part of a list that comes after a name.
fn page_of(
    kind: &Kind,
    found: Vec<Value>,
    after: &str,
    page: usize,
    version: &str,
    is_partial: bool,
) -> Value {
    let name = |object: &Value| super::store::text(object, "/metadata/name").to_owned();
    let mut rest: Vec<Value> = found.into_iter().filter(|o| *after < *name(o)).collect();
    let is_last = rest.len() <= page;
    rest.truncate(page);
    let next = match rest.last() {
        Some(last) if !is_last => name(last),
        _ => String::new(),
    };
    let partial = |object: Value| {
        json!({
            "apiVersion": "meta.k8s.io/v1",
            "kind": "PartialObjectMetadata",
            "metadata": object["metadata"],
        })
    };
    let (version_of, kind_of) = match is_partial {
        true => (
            "meta.k8s.io/v1".to_owned(),
            "PartialObjectMetadataList".to_owned(),
        ),
        false => (kind.api_version(), format!("{}List", kind.kind)),
    };
    let items: Vec<Value> = match is_partial {
        true => rest.into_iter().map(partial).collect(),
        false => rest,
    };
    json!({
        "apiVersion": version_of,
        "kind": kind_of,
        "metadata": {"resourceVersion": version, "continue": next},
        "items": items,
    })
}

fn refuse(refusal: &Refusal) -> Response {
    let status = json!({
        "apiVersion": "v1",
        "kind": "Status",
        "metadata": {},
        "status": "Failure",
        "message": refusal.message,
        "reason": refusal.reason,
        "code": refusal.code,
    });
    respond(refusal.code, "application/json", status.to_string())
}

fn respond(code: u16, content: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::IM_A_TEAPOT);
    let content = http::HeaderValue::from_static(content);
    response.headers_mut().insert(header::CONTENT_TYPE, content);
    response
}

/// An answer that breaks off.
fn lost() -> Response {
    let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    let body = tokio_stream::once(Err::<Bytes, _>(broken));
    Response::new(Body::from_stream(body))
}
