//! The canary: a request for the agent's card, now and then, that proves that
//! somebody answers.

use std::convert::Infallible;
use std::time::Instant;

use candor_egress::DialError;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::card::CardError;
use super::judge::Canary;
use super::{Parts, Proxy};

impl Proxy {
    /// Asks for the agent's card every [`super::ProxySettings::canary_every`], the
    /// first time at once, until `stop`.
    ///
    /// # Errors
    /// Never; parts of a process may fail.
    pub async fn watch(self, stop: CancellationToken) -> Result<(), Infallible> {
        let parts = &self.0;
        let mut ticks = tokio::time::interval(parts.settings.canary_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                _ = ticks.tick() => {}
            }
            if !parts.judge.lock().wants_canary(Instant::now()) {
                continue;
            }
            let canary = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                canary = self.canary() => canary,
            };
            let Some(canary) = canary else {
                continue;
            };
            tracing::debug!(?canary, "asked for the agent's card");
            parts.conclude(|judge| judge.canary(&canary, Instant::now()));
        }
    }

    /// One canary; nothing where it was never sent.
    async fn canary(&self) -> Option<Canary> {
        Some(match self.fetch_card().await {
            // A card that is no card was answered all the same.
            Ok(_) | Err(CardError::Status(_) | CardError::NotACard(_) | CardError::NoInterface) => {
                Canary::Answered
            }
            Err(CardError::Gateway(status)) => {
                Canary::Silent(format!("HTTP {status} from what stands before the agent"))
            }
            Err(CardError::Deadline(within)) => {
                Canary::Silent(format!("no answer within {} s", within.as_secs_f64()))
            }
            Err(CardError::Cut) => Canary::Silent("its answer was cut off".to_owned()),
            Err(CardError::Dial(error)) => match error {
                DialError::Overloaded { .. } => return None,
                DialError::ConnectRefused { .. } => Canary::Refused,
                error => Canary::Silent(error.to_string()),
            },
        })
    }
}

impl Parts {
    /// Lets the judge hear something, and says what it concludes. Under one lock, so
    /// that conclusions are told in their order.
    pub(super) fn conclude(
        &self,
        hear: impl FnOnce(&mut super::judge::Judge) -> Option<super::judge::News>,
    ) {
        use super::judge::News;
        let mut judge = self.judge.lock();
        match hear(&mut judge) {
            None => {}
            Some(News::Wedged(reason)) => self.vitals.mark_wedged(&reason),
            Some(News::Answers) => self.vitals.observed_success(),
        }
    }
}
