//! The initial prompt: sent once in a workspace's life.
//!
//! The marker is on disk before the first attempt: a process that crashes because of
//! the prompt, or while it is sent, must not send it again at every start.

use std::convert::Infallible;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::platform::Platform;
use crate::registration::Announced;
use crate::self_message::{SelfMessage, Told};
use crate::vitals::Vitals;

/// The marker's name below `CONFIGS_DIR`, as legacy runtimes write it.
pub const MARKER: &str = ".initial_prompt_done";

/// How it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InitialSettings {
    /// Longest wait for the agent's answer.
    pub answer_within: Duration,
    /// Attempts; one whose end is not known is the last.
    pub attempts: u32,
    /// Pause before the second attempt; it doubles, with jitter.
    pub backoff: Duration,
}

impl Default for InitialSettings {
    fn default() -> Self {
        Self {
            answer_within: Duration::from_secs(600),
            attempts: 5,
            backoff: Duration::from_secs(1),
        }
    }
}

/// The prompt of a workspace that may not have had it yet.
#[derive(Debug)]
pub struct InitialPrompt {
    platform: Platform,
    vitals: Arc<Vitals>,
    marker: PathBuf,
    text: String,
    settings: InitialSettings,
}

impl InitialPrompt {
    /// `text` is `initial_prompt` of `config.yaml`; an empty one is never sent.
    #[must_use]
    pub fn new(
        configs_dir: &Path,
        platform: Platform,
        vitals: Arc<Vitals>,
        text: String,
        settings: InitialSettings,
    ) -> Self {
        Self {
            platform,
            vitals,
            marker: configs_dir.join(MARKER),
            text,
            settings,
        }
    }

    /// Waits until the platform knows the address, sends the prompt unless that was done, and
    /// then until it is stopped.
    ///
    /// # Errors
    /// None: a prompt that nobody takes is given up.
    pub async fn run(
        self,
        mut announced: watch::Receiver<Announced>,
        stop: CancellationToken,
    ) -> Result<(), Infallible> {
        let sending = async {
            // Without whoever says so there is no registration any more.
            if announced.wait_for(|state| state.is_settled()).await.is_ok() {
                self.send_once().await;
            }
        };
        stop.run_until_cancelled(sending).await;
        stop.cancelled().await;
        Ok(())
    }

    async fn send_once(&self) {
        if self.text.trim().is_empty() || self.vitals.standing().refusal().is_some() {
            return;
        }
        match mark(&self.marker) {
            Ok(true) => self.send().await,
            Ok(false) => tracing::debug!("the initial prompt was sent before"),
            Err(error) => {
                let marker = self.marker.display();
                tracing::error!(%error, %marker, "no marker, so the initial prompt is not sent");
            }
        }
    }

    async fn send(&self) {
        let message = SelfMessage {
            id: Uuid::new_v4(),
            text: self.text.clone(),
        };
        let mut pause = self.settings.backoff;
        for attempt in 1..=self.settings.attempts {
            if let Some(why) = self.vitals.standing().refusal() {
                return tracing::warn!(why, "the initial prompt is not sent");
            }
            let within = self.settings.answer_within;
            match message.send(&self.platform, within).await {
                Told::Yes => return tracing::info!(attempt, "the initial prompt was sent"),
                Told::Perhaps(words) => {
                    return tracing::warn!(
                        words,
                        "the initial prompt was sent, its end is unknown"
                    );
                }
                Told::No(words) => {
                    tracing::warn!(words, attempt, "the initial prompt was not taken");
                }
            }
            if attempt < self.settings.attempts {
                let jitter = rand::rng().random_range(0.5..1.5);
                tokio::time::sleep(pause.mul_f64(jitter)).await;
                pause *= 2;
            }
        }
        tracing::error!("the initial prompt is given up; remove the marker to send it again");
    }
}

/// Makes the marker, durably. False if it was there.
fn mark(path: &Path) -> io::Result<bool> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => file.sync_all()?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(error),
    }
    File::open(folder)?.sync_all()?;
    Ok(true)
}
