//! The heartbeat: a task that does nothing else. What it says is computed when it is
//! said, and the answer is read: a platform that refuses beats is an error here, not
//! a success.

mod pace;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use url::Url;

use self::pace::Pace;
use crate::platform::Platform;
use crate::platform::beats::{BeatAnswer, BeatError, Carrier};
use crate::registration::{Announced, Wanted};
use crate::vitals::{Standing, Vitals};

/// The shortest time between two beats, for a change of the runtime state.
const AT_ONCE: Duration = Duration::from_millis(250);
/// The same for other news: the platform takes four beats a second, not more.
const SOON: Duration = Duration::from_secs(1);
/// Longest time for the last beat.
const LAST: Duration = Duration::from_secs(3);
/// Longest wait for the first registration.
const REGISTRATION: Duration = Duration::from_secs(10);
/// The lines about beats that fail: the first one, then each so many.
const SAY_EVERY: u32 = 10;

/// How beats are sent.
#[derive(Debug, Clone)]
pub struct HeartbeatSettings {
    /// Until the platform asks for another one.
    pub interval: Duration,
    /// The registry's gRPC address, where beats go on a stream.
    pub grpc: Option<Url>,
}

/// The heartbeat of one workspace.
#[derive(Debug)]
pub struct Heartbeat {
    platform: Platform,
    vitals: Arc<Vitals>,
    carrier: Carrier,
    pace: Pace,
    wanted: Wanted,
}

impl Heartbeat {
    /// `wanted` is told when the platform does not know the workspace.
    #[must_use]
    pub fn new(
        platform: Platform,
        vitals: Arc<Vitals>,
        settings: &HeartbeatSettings,
        wanted: Wanted,
    ) -> Self {
        Self {
            carrier: Carrier::new(platform.clone(), settings.grpc.as_ref()),
            pace: Pace::new(settings.interval),
            platform,
            vitals,
            wanted,
        }
    }

    /// Beats until `stop`; then while turns end, for `drain` at most; and once more at
    /// the end, so that the platform is not left with turns that are over.
    pub async fn run(
        mut self,
        announced: watch::Receiver<Announced>,
        drain: Duration,
        stop: CancellationToken,
    ) {
        let until_stopped = async {
            first(announced, &self.vitals).await;
            loop {
                self.beat().await;
                self.next().await;
            }
        };
        // A beat to a platform that hangs must not hold the end up.
        if stop.run_until_cancelled(until_stopped).await.is_none() {
            let vitals = Arc::clone(&self.vitals);
            let beating = async {
                loop {
                    self.beat().await;
                    self.next().await;
                }
            };
            // The end of the last turn is not waited out: neither a pause after beats
            // that failed nor a beat that hangs.
            let draining = async {
                tokio::select! {
                    biased;
                    () = vitals.idle() => {}
                    () = beating => {}
                }
            };
            let _overdue = timeout(drain.saturating_sub(2 * LAST), draining).await;
            let _unsaid = timeout(LAST, self.beat()).await;
        }
    }

    /// Waits until the next beat is due, or something is worth one.
    async fn next(&mut self) {
        let sent = Instant::now();
        let due = sent + self.pace.pause();
        let failing = self.pace.is_failing();
        tokio::select! {
            () = sleep_until(due) => {}
            () = after(self.vitals.changed(), sent + AT_ONCE) => {}
            // A platform in trouble is not asked more often for news.
            () = after(self.vitals.worth_a_beat(), sent + SOON), if !failing => {}
        }
    }

    async fn beat(&mut self) {
        let span = tracing::info_span!("heartbeat");
        let outcome = self.attempts().instrument(span).await;
        self.vitals.heard(outcome.is_ok());
        metrics::counter!("candor_workspace_beats_total", "outcome" => word(&outcome)).increment(1);
        match outcome {
            Ok(answer) => self.take(&answer),
            Err(error) => {
                let failures = self.pace.failed();
                if failures % SAY_EVERY == 1 {
                    let fix = fix(&error);
                    tracing::error!(%error, failures, fix, "a beat was not taken");
                }
            }
        }
    }

    /// One beat; if the token is refused, it is read from disk again, and where it is
    /// another one the beat is made anew and sent once more.
    async fn attempts(&mut self) -> Result<BeatAnswer, BeatError> {
        let first = self.carrier.send(&self.vitals.report()).await;
        let used = self.carrier.proof().cloned();
        match first {
            Err(BeatError::Unauthorized(_)) if self.platform.has_another_token(used.as_ref()) => {
                self.carrier.send(&self.vitals.report()).await
            }
            outcome => outcome,
        }
    }

    fn take(&mut self, answer: &BeatAnswer) {
        self.pace.answered(answer.next);
        let standing = match answer.workspace.as_deref() {
            Some("removed") => Standing::Removed,
            Some(_) => Standing::Unknown,
            None if answer.superseded => Standing::Superseded,
            None => Standing::Current,
        };
        let before = self.vitals.standing();
        self.vitals.stand(standing);
        if standing == before || before == Standing::Draining {
            return;
        }
        match standing.refusal() {
            Some(why) => tracing::error!(why, epoch = answer.epoch, "no more work is taken"),
            None => tracing::info!(?standing, epoch = answer.epoch, "the platform took a beat"),
        }
        if standing == Standing::Unknown {
            self.wanted.again();
        }
    }
}

fn word(outcome: &Result<BeatAnswer, BeatError>) -> &'static str {
    match outcome {
        Ok(_) => "taken",
        Err(BeatError::Unauthorized(_)) => "unauthorized",
        Err(BeatError::Failed(_)) => "failed",
    }
}

/// What an operator can do about it.
fn fix(error: &BeatError) -> &'static str {
    match error {
        BeatError::Unauthorized(_) => {
            "write a token of this workspace into .auth_token below CONFIGS_DIR; it is read again with the next beat"
        }
        BeatError::Failed(_) => "check PLATFORM_URL, and whether the platform is ready (/readyz)",
    }
}

/// When the first beat is due. The first registration goes first, so that the beat has
/// the token that comes with it; it is not waited for long. An agent beside this process
/// must have shown itself, or be found wedged: nothing healthy is said of an agent that
/// nobody has seen.
async fn first(mut announced: watch::Receiver<Announced>, vitals: &Vitals) {
    let late = Instant::now() + REGISTRATION;
    loop {
        let state = *announced.borrow_and_update();
        tokio::select! {
            changed = announced.changed(), if state == Announced::NotYet || state == Announced::NoAgent => {
                if changed.is_err() {
                    return;
                }
            }
            () = sleep_until(late), if state == Announced::NotYet => return,
            () = vitals.changed(), if state == Announced::NoAgent => return,
            else => return,
        }
    }
}

/// When something happened, but not before a time.
async fn after(happened: impl Future<Output = ()>, not_before: Instant) {
    happened.await;
    sleep_until(not_before).await;
}
