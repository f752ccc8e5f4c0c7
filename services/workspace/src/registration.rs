//! Registration: the agent announces where it is and what it can, and keeps the token
//! that it may be given.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use rand::Rng as _;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::platform::{Call, CallError, Platform};
use crate::vitals::{Standing, Vitals};

/// The first pause after a registration that failed; each further one doubles it.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest one.
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// How far the announcement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announced {
    /// It was not answered yet.
    NotYet,
    /// The agent beside this process has not said yet what it is.
    NoAgent,
    /// It was tried, and the platform does not know the address yet.
    Failed,
    /// The platform does not take the address: the workspace lives by its beats, and is
    /// found where the platform knows it to be.
    Refused,
    /// The platform knows the address.
    Done,
}

impl Announced {
    /// Whether messages to this workspace come here, as far as this process can tell.
    #[must_use]
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Done | Self::Refused)
    }
}

/// Whether the platform has to be told again.
#[derive(Debug, Clone)]
pub struct Wanted(watch::Sender<u64>);

impl Wanted {
    /// It has.
    pub fn again(&self) {
        self.0.send_modify(|times| *times += 1);
    }
}

/// Where the agent card comes from.
pub enum CardSource {
    /// It is known.
    Known(Value),
    /// The agent beside this process has it, once it is up.
    Asked(Box<dyn Fn() -> BoxFuture<'static, Result<Value, String>> + Send + Sync>),
}

impl fmt::Debug for CardSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(card) => f.debug_tuple("Known").field(card).finish(),
            Self::Asked(_) => f.write_str("Asked"),
        }
    }
}

impl CardSource {
    async fn card(&self) -> Result<Value, RegistrationError> {
        match self {
            Self::Known(card) => Ok(card.clone()),
            Self::Asked(ask) => ask().await.map_err(RegistrationError::NoCard),
        }
    }
}

/// Why a registration is not done.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// The agent does not say what it is.
    #[error("no agent card: {0}")]
    NoCard(String),
    /// The platform did not take it.
    #[error(transparent)]
    NotTaken(#[from] CallError),
}

/// What is announced, and to whom.
#[derive(Debug)]
pub struct Registration {
    platform: Platform,
    vitals: Arc<Vitals>,
    url: String,
    card: CardSource,
    wanted: watch::Receiver<u64>,
    announced: watch::Sender<Announced>,
}

impl Registration {
    /// The agent at `url` with this card.
    #[must_use]
    pub fn new(
        platform: Platform,
        vitals: Arc<Vitals>,
        url: String,
        card: CardSource,
    ) -> (Self, Wanted) {
        let (wanted, asked) = watch::channel(0);
        let registration = Self {
            platform,
            vitals,
            url,
            card,
            wanted: asked,
            announced: watch::channel(Announced::NotYet).0,
        };
        (registration, Wanted(wanted))
    }

    /// How far it is, to follow.
    #[must_use]
    pub fn announced(&self) -> watch::Receiver<Announced> {
        self.announced.subscribe()
    }

    /// Registers until it is done, and again whenever it is wanted, until `stop`. Beats
    /// do not wait for it: a workspace lives by its beats alone where its address is
    /// refused (contract/registry.md).
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.until_done() => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                asked = self.wanted.changed() => if asked.is_err() { stop.cancelled().await },
            }
        }
    }

    async fn until_done(&mut self) {
        self.wanted.mark_unchanged();
        let mut pause = FIRST_RETRY;
        while let Err(error) = self.once().await {
            self.announced.send_replace(match &error {
                RegistrationError::NoCard(_) => Announced::NoAgent,
                RegistrationError::NotTaken(CallError::Refused { status: 400, .. }) => {
                    Announced::Refused
                }
                RegistrationError::NotTaken(_) => Announced::Failed,
            });
            let fix = fix(&error);
            tracing::error!(%error, fix, url = %self.url, "not registered; trying again");
            let spread = 0.5 + rand::rng().random::<f64>();
            tokio::time::sleep(pause.mul_f64(spread)).await;
            pause = (pause * 2).min(LONGEST_RETRY);
        }
    }

    /// One registration. A token that comes with the answer is kept.
    ///
    /// # Errors
    /// [`RegistrationError`].
    pub async fn once(&self) -> Result<(), RegistrationError> {
        let body = json!({
            "id": self.platform.workspace(),
            "url": self.url,
            "agent_card": self.card.card().await?,
        });
        let register = Call::post("/registry/register", body);
        let answer = self.platform.ask(register).await?.json();
        if let Some(token) = answer["auth_token"].as_str() {
            match self.platform.tokens().save(token) {
                Ok(()) => tracing::info!("the platform gave this workspace a token; it is kept"),
                // It is given once: without the file, the next process has none.
                Err(error) => tracing::error!(%error, "the token cannot be written to disk"),
            }
        }
        if answer["superseded"] == true {
            // Answered, and without any effect.
            self.vitals.stand(Standing::Superseded);
            self.announced.send_replace(Announced::Failed);
            return Ok(());
        }
        tracing::info!(url = %self.url, "registered");
        self.announced.send_replace(Announced::Done);
        Ok(())
    }
}

/// What an operator can do about it.
fn fix(error: &RegistrationError) -> &'static str {
    let RegistrationError::NotTaken(error) = error else {
        return "check --agent-url, and whether the agent is up";
    };
    match error {
        CallError::Refused { status: 400, .. } => {
            "the platform refuses this address; pass one with --advertise that it can reach"
        }
        CallError::Refused { status: 401, .. } => {
            "write a token of this workspace into .auth_token below CONFIGS_DIR"
        }
        CallError::Refused { status: 410, .. } => "the workspace was removed; stop this agent",
        _ => "check PLATFORM_URL, and whether the platform is ready (/readyz)",
    }
}
