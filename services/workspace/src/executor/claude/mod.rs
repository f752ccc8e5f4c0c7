//! `claude-code`: the Claude CLI in stream-json mode, one process for each turn.
//!
//! Each turn proves anew that the CLI answers `initialize`, and no process idles. The
//! conversation goes on from turn to turn by the session that the CLI keeps.

mod failure;
mod permission;
mod protocol;
mod session;
mod settings;
mod talk;
mod trace;
mod transcript;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

pub use self::permission::{PermissionMode, UnknownPermissionMode};
pub use self::settings::ClaudeSettings;

use self::failure::{Failure, Kind};
use self::session::Session;
use self::talk::Call;
use super::{Answer, Capabilities, Executor, Turn, TurnError};
use crate::wedge::{Detector, Recovery};

/// Once it was seen, every further turn of such an installation ended in it.
const BEYOND_RECOVERY: Detector = Detector(&["control request timeout"]);
/// A turn is tried so often.
const ATTEMPTS: u32 = 3;
/// Longest wait before another attempt.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The CLI lets a tool run for at most ten minutes, and says nothing meanwhile.
const QUIET: Duration = Duration::from_secs(600);

/// The Claude CLI.
#[derive(Debug)]
pub struct ClaudeCode {
    settings: ClaudeSettings,
    session: Session,
    /// Held until the CLI of a turn is gone: two must not write one session.
    one: Arc<Mutex<()>>,
}

impl ClaudeCode {
    /// With these settings, and the session that an earlier process left.
    #[must_use]
    pub fn new(settings: ClaudeSettings) -> Self {
        Self {
            session: Session::open(&settings.session_file),
            settings,
            one: Arc::default(),
        }
    }

    /// Tries the turn, again where that is safe and may help.
    async fn attempts(&self, turn: &Turn) -> Result<Answer, Failure> {
        let held = Arc::new(Arc::clone(&self.one).lock_owned().await);
        let deadline = Instant::now() + self.settings.turn_timeout;
        let mut attempt = 1;
        loop {
            let resumed = self.session.known();
            let call = Call {
                settings: &self.settings,
                session: &self.session,
                resume: resumed.as_deref(),
                prompt: &turn.prompt.text,
                updates: &turn.updates,
                deadline,
                held: Arc::clone(&held),
            };
            let failure = match talk::once(call).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            match failure.kind {
                Kind::UnknownSession if resumed.is_some() => {
                    tracing::warn!("the CLI does not know its session any more: a new one");
                    self.session.forget();
                    continue;
                }
                Kind::Transient if attempt < ATTEMPTS => {}
                _ => return Err(failure),
            }
            let wait = backoff(self.settings.backoff, attempt);
            if Instant::now() + wait >= deadline {
                return Err(failure);
            }
            tracing::warn!(
                attempt,
                ?wait,
                error = failure.text,
                "the turn is tried again"
            );
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }
}

/// Doubled with each attempt, and jittered: who was limited together shall not come
/// back together.
fn backoff(base: Duration, attempt: u32) -> Duration {
    let whole = base.saturating_mul(1 << (attempt - 1).min(16));
    whole
        .min(LONGEST_WAIT)
        .mul_f64(rand::random_range(0.5..1.0))
}

#[async_trait]
impl Executor for ClaudeCode {
    fn name(&self) -> &'static str {
        "claude-code"
    }

    fn capabilities(&self) -> Capabilities {
        // Not `session`: the platform's queue outlives this process, its own waiting
        // turns do not.
        Capabilities::from([("retry", true)])
    }

    fn idle_budget(&self) -> Option<Duration> {
        Some(QUIET)
    }

    fn detector(&self) -> Option<&'static Detector> {
        Some(&BEYOND_RECOVERY)
    }

    fn recovery(&self) -> Recovery {
        Recovery::NewProcess
    }

    async fn turn(&self, turn: Turn) -> Result<Answer, TurnError> {
        // What is dropped here ends its process by itself.
        tokio::select! {
            biased;
            () = turn.cancel.cancelled() => Err(TurnError::Cancelled),
            outcome = self.attempts(&turn) => {
                outcome.map_err(|failure| TurnError::Failed(failure.text))
            }
        }
    }

    async fn transcript(&self, since: u64, limit: usize) -> Option<Value> {
        let source = transcript::source(&self.settings, self.session.current().as_deref());
        let reading = tokio::task::spawn_blocking(move || transcript::read(&source, since, limit));
        reading.await.ok()
    }
}
