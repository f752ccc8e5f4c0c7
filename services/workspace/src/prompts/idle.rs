//! The idle prompt: sent when there was no turn for long, so that an agent can look
//! for work by itself.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::platform::Platform;
use crate::self_message::{SelfMessage, Told};
use crate::vitals::Vitals;

/// Looks per interval.
const LOOKS: u32 = 20;
/// Longest pause between looks.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// When it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdleSettings {
    /// So long without any turn: `idle_interval_seconds` of `config.yaml`.
    pub interval: Duration,
    /// Longest wait for the agent's answer.
    pub answer_within: Duration,
}

impl Default for IdleSettings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(600),
            answer_within: Duration::from_secs(600),
        }
    }
}

/// The prompt of an agent that has nothing to do.
#[derive(Debug)]
pub struct IdlePrompt {
    platform: Platform,
    vitals: Arc<Vitals>,
    text: String,
    settings: IdleSettings,
}

impl IdlePrompt {
    /// `text` is `idle_prompt` of `config.yaml`; an empty one is never sent.
    #[must_use]
    pub fn new(
        platform: Platform,
        vitals: Arc<Vitals>,
        text: String,
        settings: IdleSettings,
    ) -> Self {
        Self {
            platform,
            vitals,
            text,
            settings,
        }
    }

    /// Sends the prompt whenever the agent was idle for the interval, until it is
    /// stopped.
    ///
    /// # Errors
    /// None: a prompt that nobody takes is sent again after another interval.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Infallible> {
        if !self.text.trim().is_empty() {
            stop.run_until_cancelled(self.send_when_idle()).await;
        }
        stop.cancelled().await;
        Ok(())
    }

    async fn send_when_idle(&self) {
        let pause = (self.settings.interval / LOOKS).min(LONGEST_PAUSE);
        let mut begun = self.begun();
        let mut idle_since = Instant::now();
        loop {
            tokio::time::sleep(pause).await;
            let is_idle = self.begun() == begun && self.vitals.active() == 0;
            if !is_idle || !self.may_send() {
                begun = self.begun();
                idle_since = Instant::now();
            } else if idle_since.elapsed() >= self.settings.interval {
                self.send().await;
                begun = self.begun();
                idle_since = Instant::now();
            }
        }
    }

    fn begun(&self) -> u64 {
        self.vitals.report().progress.begun
    }

    fn may_send(&self) -> bool {
        !self.vitals.is_wedged() && self.vitals.standing().is_current()
    }

    async fn send(&self) {
        let message = SelfMessage {
            id: Uuid::new_v4(),
            text: self.text.clone(),
        };
        match message
            .send(&self.platform, self.settings.answer_within)
            .await
        {
            Told::Yes => tracing::debug!("the idle prompt was sent"),
            Told::Perhaps(words) => tracing::debug!(words, "the idle prompt may have been sent"),
            Told::No(words) => tracing::warn!(words, "the idle prompt was not taken"),
        }
    }
}
