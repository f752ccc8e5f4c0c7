//! The admin server: `/healthz`, `/readyz`, `/metrics` (design section 2).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures::future::{BoxFuture, join_all};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::telemetry::Metrics;

/// Longest answer of one readiness check; past it the check has failed.
const CHECK_DEADLINE: Duration = Duration::from_secs(2);

type Check = Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// Where the admin server listens, and whether it had to move.
#[derive(Debug)]
pub struct AdminListener {
    listener: TcpListener,
    address: SocketAddr,
    wanted: SocketAddr,
}

impl AdminListener {
    /// Listens on `wanted`. Should it be busy, a default address (nobody asked
    /// for it by name) moves to a free port; one that was asked for is refused.
    ///
    /// # Errors
    /// What the system said, with the address.
    pub async fn bind(wanted: SocketAddr, is_default: bool) -> io::Result<Self> {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("admin listener on {wanted}: {error}"))
        };
        let listener = match TcpListener::bind(wanted).await {
            Err(error) if is_default && error.kind() == io::ErrorKind::AddrInUse => {
                let listener = TcpListener::bind((wanted.ip(), 0)).await.map_err(named)?;
                tracing::warn!(%wanted, got = %listener.local_addr()?, "the admin port is busy, moved");
                listener
            }
            bound => bound.map_err(named)?,
        };
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            address,
            wanted,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it had to move to another port.
    #[must_use]
    pub fn moved(&self) -> bool {
        self.wanted.port() != 0 && self.wanted.port() != self.address.port()
    }
}

/// What the admin server answers from.
pub struct Admin {
    metrics: Metrics,
    checks: Vec<(&'static str, Check)>,
    stop: CancellationToken,
}

impl Admin {
    /// Without checks a process is ready until `stop`.
    #[must_use]
    pub fn new(metrics: Metrics, stop: CancellationToken) -> Self {
        Self {
            metrics,
            checks: Vec::new(),
            stop,
        }
    }

    /// Adds a readiness check. Its problem is shown to whoever can reach the
    /// admin server, and ends at 2 s.
    #[must_use]
    pub fn check<F, Fut>(mut self, name: &'static str, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.checks
            .push((name, Box::new(move || Box::pin(check()))));
        self
    }

    /// Serves until the order to stop.
    ///
    /// # Errors
    /// What the listener said.
    pub async fn serve(self, listener: AdminListener) -> io::Result<()> {
        let stop = self.stop.clone();
        let upkeep = self.metrics.clone().upkeep(stop.clone());
        let router = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(Arc::new(self));
        // Scrapes are short, and a probe that keeps its connection open must not
        // keep the process from ending: the order ends both at once.
        tokio::select! {
            served = async { axum::serve(listener.listener, router).await } => served,
            () = upkeep => Ok(()),
        }
    }
}

async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    if admin.stop.is_cancelled() {
        return answer(
            false,
            Map::from_iter([("drain".to_owned(), json!("draining"))]),
        );
    }
    let outcomes = admin.checks.iter().map(async |(name, check)| {
        let outcome = timeout(CHECK_DEADLINE, check())
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", CHECK_DEADLINE.as_secs())));
        (*name, outcome)
    });
    let outcomes = join_all(outcomes).await;
    let ready = outcomes.iter().all(|(_, outcome)| outcome.is_ok());
    let checks = outcomes
        .into_iter()
        .map(|(name, outcome)| {
            (
                name.to_owned(),
                Value::String(outcome.err().unwrap_or_else(|| "ok".into())),
            )
        })
        .collect();
    answer(ready, checks)
}

fn answer(ready: bool, checks: Map<String, Value>) -> Response {
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        axum::Json(json!({"ready": ready, "checks": checks})),
    )
        .into_response()
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        admin.metrics.render(),
    )
        .into_response()
}
