//! The client: who says it, where it goes, and what is done about a 401.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use candor_kernel::WorkspaceId;
use candor_process::config::Secret;
use candor_process::telemetry::propagation;
use http::header::{AUTHORIZATION, HeaderValue};
use http::{HeaderMap, HeaderName};
use parking_lot::Mutex;
use tracing::Instrument as _;
use url::Url;

use super::call::{Call, CallError, Reply};
use crate::token::TokenStore;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Connections that were not used for so long are closed.
const IDLE: Duration = Duration::from_secs(60);
/// Largest answer that is read, in bytes: as much as an agent's answer may have.
const LARGEST: usize = 10 * 1024 * 1024;
/// Calls without an answer, in a row, after which the client is made anew.
const TROUBLE: u32 = 3;
/// Whose words these are.
const WORKSPACE: HeaderName = HeaderName::from_static("x-workspace-id");

/// The platform, as this workspace speaks to it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Platform(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    base: Url,
    workspace: WorkspaceId,
    tokens: Arc<TokenStore>,
    client: Mutex<reqwest::Client>,
    /// Calls in a row.
    unanswered: AtomicU32,
    renewed: AtomicU32,
}

impl Platform {
    /// The platform at `base`, spoken to by `workspace`.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(
        base: Url,
        workspace: WorkspaceId,
        tokens: Arc<TokenStore>,
    ) -> Result<Self, CallError> {
        Ok(Self(Arc::new(Parts {
            base,
            workspace,
            tokens,
            client: Mutex::new(client()?),
            unanswered: AtomicU32::new(0),
            renewed: AtomicU32::new(0),
        })))
    }

    /// Whose words are sent.
    #[must_use]
    pub fn workspace(&self) -> WorkspaceId {
        self.0.workspace
    }

    /// What the workspace proves itself with.
    #[must_use]
    pub fn tokens(&self) -> &Arc<TokenStore> {
        &self.0.tokens
    }

    /// The headers of every call that this process makes on its own account: the
    /// token, the workspace, the trace. A header that cannot be written is left out,
    /// and the platform refuses what it does not prove.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Ok(id) = HeaderValue::from_str(&self.0.workspace.to_string()) {
            headers.insert(WORKSPACE, id);
        }
        if let Some(token) = self.0.tokens.token()
            && let Ok(mut bearer) = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
        {
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        propagation::inject(&mut headers);
        headers
    }

    /// Sends a call. If the token is refused, it is read from disk again, and where it
    /// is another one the call is sent once more.
    ///
    /// # Errors
    /// [`CallError::Unreached`], [`CallError::Unanswered`], [`CallError::TooLarge`]; any
    /// status is an answer.
    pub async fn send(&self, call: Call) -> Result<Reply, CallError> {
        let span = tracing::info_span!("platform", otel.kind = "client", path = %call.path);
        async {
            let used = self.0.tokens.token();
            let first = self.attempt(&call).await?;
            if first.status == 401 && self.has_another_token(used.as_ref()) {
                return self.attempt(&call).await;
            }
            Ok(first)
        }
        .instrument(span)
        .await
    }

    /// Sends a call once; a 401 is an answer like any other.
    ///
    /// # Errors
    /// As [`Platform::send`].
    pub async fn send_once(&self, call: &Call) -> Result<Reply, CallError> {
        self.attempt(call).await
    }

    /// Sends a call that must succeed.
    ///
    /// # Errors
    /// As [`Platform::send`], and [`CallError::Refused`].
    pub async fn ask(&self, call: Call) -> Result<Reply, CallError> {
        self.send(call).await?.expect_success()
    }

    /// Reads the token from disk again after `used` was refused; true if there is
    /// another one to try.
    #[must_use]
    pub fn has_another_token(&self, used: Option<&Secret>) -> bool {
        match self.0.tokens.refresh(used) {
            Ok(true) => {
                tracing::info!("the platform refused the token; there is another one to try");
                true
            }
            Ok(false) => false,
            Err(error) => {
                tracing::warn!(%error, "the token cannot be read from disk");
                false
            }
        }
    }

    async fn attempt(&self, call: &Call) -> Result<Reply, CallError> {
        let exchange = tokio::time::timeout(call.deadline, self.exchange(call));
        let outcome = exchange.await.unwrap_or_else(|_| {
            let words = format!("no answer within {:?}", call.deadline);
            Err(CallError::Unanswered(words))
        });
        match &outcome {
            Err(CallError::Unreached(_) | CallError::Unanswered(_)) => self.renew_after_trouble(),
            _ => self.0.unanswered.store(0, Ordering::Relaxed),
        }
        outcome
    }

    async fn exchange(&self, call: &Call) -> Result<Reply, CallError> {
        let url = join(&self.0.base, &call.path)?;
        let client = self.0.client.lock().clone();
        let mut request = client
            .request(call.method.clone(), url)
            .headers(self.headers());
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let mut response = request.send().await.map_err(unanswered)?;
        let status = response.status().as_u16();
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(unanswered)? {
            if body.len() + chunk.len() > LARGEST {
                return Err(CallError::TooLarge(LARGEST));
            }
            body.extend_from_slice(&chunk);
        }
        let body = body.freeze();
        Ok(Reply { status, body })
    }

    /// A client can be what is stuck: connections into a platform that has moved.
    fn renew_after_trouble(&self) {
        let unanswered = self.0.unanswered.fetch_add(1, Ordering::Relaxed) + 1;
        if !unanswered.is_multiple_of(TROUBLE) {
            return;
        }
        match client() {
            Ok(new) => {
                *self.0.client.lock() = new;
                self.0.renewed.fetch_add(1, Ordering::Relaxed);
                tracing::info!(unanswered, "connections to the platform are made anew");
            }
            Err(error) => tracing::warn!(%error, "no new client"),
        }
    }
}

/// The base's path is kept: a platform may live below one.
fn join(base: &Url, path: &str) -> Result<Url, CallError> {
    let text = format!("{}{path}", base.as_str().trim_end_matches('/'));
    Url::parse(&text).map_err(|error| CallError::Unreached(format!("{text}: {error}")))
}

fn client() -> Result<reqwest::Client, CallError> {
    reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .pool_idle_timeout(IDLE)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("candor-workspace/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(unanswered)
}

/// With what is behind it: the outermost error says only that there is one.
fn unanswered(error: reqwest::Error) -> CallError {
    let error = error.without_url();
    let was_sent = !error.is_connect() && !error.is_builder();
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    if was_sent {
        CallError::Unanswered(words)
    } else {
        CallError::Unreached(words)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Nobody listens there (discard).
    fn nowhere() -> Platform {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Arc::new(TokenStore::open(folder.path()).unwrap());
        let base = Url::parse("http://127.0.0.1:9/below").unwrap();
        Platform::new(base, WorkspaceId::from_uuid(uuid::Uuid::nil()), tokens).unwrap()
    }

    #[tokio::test]
    async fn the_client_is_made_anew_after_each_three_calls_without_an_answer() {
        let platform = nowhere();
        for calls in 1..=7 {
            let outcome = platform.send(Call::get("/health")).await;
            assert!(
                matches!(outcome, Err(CallError::Unreached(_))),
                "{outcome:?}"
            );
            let renewed = platform.0.renewed.load(Ordering::Relaxed);
            assert_eq!(renewed, calls / TROUBLE, "after {calls} calls");
        }
    }

    #[test]
    fn a_platform_may_live_below_a_path() {
        let base = Url::parse("http://h/below/").unwrap();
        assert_eq!(
            join(&base, "/x?y=1").unwrap().as_str(),
            "http://h/below/x?y=1"
        );
    }
}
