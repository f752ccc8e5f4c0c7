//! An activity log on a Postgres of its own, and a registry that keeps what it is
//! told. Calls go through gRPC in this process, with the caller they name.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use candor_activity_log::ActivityLog;
use candor_kernel::{Caller, Reason};
use candor_peers::{ActivityClient, GrpcChannel, RegistryClient, local};
use candor_process::migrate;
use candor_proto::activity::v1 as pb;
use candor_proto::registry::v1::PublishTransientRequest;
use candor_testkit::postgres::{self, Postgres};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use parking_lot::Mutex;
use prost::Message as _;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

pub const WORKSPACE: &str = "00000000-0000-4000-8000-0000000000aa";
pub const OTHER: &str = "00000000-0000-4000-8000-0000000000bb";

/// An activity log that keeps rows for two days.
pub struct Lab {
    pub url: String,
    pub client: ActivityClient,
    /// Payloads of the ACTIVITY_LOGGED events, in their order.
    pub told: Arc<Mutex<Vec<Value>>>,
    _log: ActivityLog,
    _postgres: Postgres,
}

impl Lab {
    pub async fn new() -> Self {
        let postgres = Postgres::start_new().await.unwrap();
        let url = postgres.create_database().await.unwrap();
        let pool = ActivityLog::pool_settings("test").open(url.parse().unwrap());
        migrate::up(&pool).await.unwrap();
        let workspaces = format!(
            "INSERT INTO workspaces (id, name) VALUES ('{WORKSPACE}', 'a'), ('{OTHER}', 'b')"
        );
        postgres::execute(&url, &workspaces).await.unwrap();
        let told = Arc::default();
        let registry = RegistryClient::new(registry(Arc::clone(&told)));
        let log = ActivityLog::start(pool, registry, 2, &CancellationToken::new());
        Self {
            url,
            client: ActivityClient::new(local(log.service())),
            told,
            _log: log,
            _postgres: postgres,
        }
    }

    /// Forwards as the relay; the reasons, empty where an item is durable.
    pub async fn forward(&self, items: Vec<pb::ForwardItem>) -> Vec<String> {
        let relay = Caller::system("relay");
        let answer = self.forward_as(&relay, items).await.unwrap();
        let results = answer.results.into_iter();
        results.map(|result| result.error_reason).collect()
    }

    pub async fn forward_as(
        &self,
        caller: &Caller,
        items: Vec<pb::ForwardItem>,
    ) -> Result<pb::ForwardResponse, Reason> {
        let request = pb::ForwardRequest { items };
        let call = |mut client: Rows, request| async move { client.forward(request).await };
        let answer = self.client.call(caller, request, call).await;
        answer.map_err(|error| error.reason())
    }

    pub async fn list(&self, caller: &Caller, request: pb::ListRequest) -> pb::ListResponse {
        let call = |mut client: Rows, request| async move { client.list(request).await };
        self.client.call(caller, request, call).await.unwrap()
    }

    /// All rows, oldest first.
    pub async fn listed(&self) -> Vec<pb::Activity> {
        let request = pb::ListRequest {
            workspace_id: WORKSPACE.to_owned(),
            oldest_first: true,
            ..pb::ListRequest::default()
        };
        let answer = self.list(&Caller::system("test"), request).await;
        answer.activities
    }

    /// An intent that may wait for a minute.
    pub async fn begin(&self, n: u64) {
        let request = pb::BeginRequest {
            id: id(n),
            workspace_id: WORKSPACE.to_owned(),
            activity_type: "a2a_receive".to_owned(),
            source: Some(anonymous()),
            deadline: Some(std::time::Duration::from_secs(60).try_into().unwrap()),
            ..pb::BeginRequest::default()
        };
        let call = |mut client: Rows, request| async move { client.begin(request).await };
        let relay = Caller::system("relay");
        self.client.call(&relay, request, call).await.unwrap();
    }
}

type Rows = pb::activity_log_service_client::ActivityLogServiceClient<GrpcChannel>;

/// A registry that takes every event.
fn registry(told: Arc<Mutex<Vec<Value>>>) -> GrpcChannel {
    local(tower::service_fn(move |request: Request<Body>| {
        let told = Arc::clone(&told);
        async move {
            let sent = request.into_body().collect().await.unwrap().to_bytes();
            // One gRPC message: a flag and a length of four bytes stand before it.
            let message = PublishTransientRequest::decode(sent.slice(5..)).unwrap();
            let events = message.events.iter();
            let payloads = events.map(|event| serde_json::from_str(&event.payload).unwrap());
            told.lock().extend(payloads);
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            let empty = Full::new(Bytes::from_static(&[0; 5]));
            let body = Body::new(empty.with_trailers(async { Some(Ok(trailers)) }));
            let mut response = Response::new(body);
            let grpc = HeaderValue::from_static("application/grpc");
            response.headers_mut().insert("content-type", grpc);
            Ok::<_, Infallible>(response)
        }
    }))
}

pub fn id(n: u64) -> String {
    format!("01a20000-0000-7000-8000-{n:012x}")
}

pub fn anonymous() -> pb::Source {
    pb::Source {
        kind: pb::SourceKind::Anonymous.into(),
        ..pb::Source::default()
    }
}

pub fn body(text: &str) -> Option<pb::Body> {
    Some(pb::Body {
        content: text.as_bytes().to_vec().into(),
        ..pb::Body::default()
    })
}

/// A message that came, with a status.
pub fn row(n: u64, status: &str) -> pb::ForwardedRow {
    pb::ForwardedRow {
        row: Some(pb::RecordRequest {
            id: id(n),
            workspace_id: WORKSPACE.to_owned(),
            activity_type: "a2a_receive".to_owned(),
            method: Some("message/send".to_owned()),
            summary: Some(n.to_string()),
            status: Some(status.to_owned()),
            request_body: body(r#"{"q":1}"#),
            ..pb::RecordRequest::default()
        }),
        source: Some(anonymous()),
        ..pb::ForwardedRow::default()
    }
}

pub fn outcome(n: u64, status: &str) -> pb::CompleteRequest {
    pb::CompleteRequest {
        id: id(n),
        status: status.to_owned(),
        duration_ms: Some(7),
        response_body: body(r#"{"a":1}"#),
        tool_trace: Some(r#"[{"tool":"grep","n":1.0}]"#.to_owned()),
        ..pb::CompleteRequest::default()
    }
}

/// An item of a call.
pub fn item(what: impl Into<What>) -> pb::ForwardItem {
    pb::ForwardItem {
        what: Some(what.into().0),
        silent: false,
    }
}

/// What an item can be.
pub struct What(pb::forward_item::What);

impl From<pb::ForwardedRow> for What {
    fn from(row: pb::ForwardedRow) -> Self {
        Self(pb::forward_item::What::Row(row))
    }
}

impl From<pb::CompleteRequest> for What {
    fn from(outcome: pb::CompleteRequest) -> Self {
        Self(pb::forward_item::What::Outcome(outcome))
    }
}
