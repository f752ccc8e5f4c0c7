//! What is observed of agents from outside (design: section 9, rules R8 and R9): an
//! agent that is sent messages and lets them end at their deadline, though it has
//! room and shows no progress, does not answer, whatever its beats say.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use candor_kernel::WorkspaceId;
use candor_proto::registry::v1 as registry;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;

use crate::app::App;
use crate::deliver::attempt::{Attempt, Letter, attempt};
use crate::deliver::clock::Clock;
use crate::forward::relay;
use crate::store::targets;
use crate::target::Target;

/// Silent calls in a row that say it.
const IN_A_ROW: u32 = 3;
/// Silent calls after which a canary may say it sooner.
const BEFORE_CANARY: u32 = 2;
/// Between two calls that try an agent which was observed not to answer.
const HALF_OPEN: Duration = Duration::from_secs(30);
/// How long a canary has.
const CANARY: Duration = Duration::from_secs(10);
/// Agents that are remembered; one more makes room by forgetting the longest quiet.
const MOST: usize = 50_000;

/// What is known of one agent.
#[derive(Debug, Clone, Default)]
struct Known {
    silent: u32,
    last_answer: Option<DateTime<Utc>>,
    last_try: Option<Instant>,
    /// When a call was first refused since it answered last.
    suspected: Option<Instant>,
    touched: Option<Instant>,
}

/// The counts of this process. They begin anew with it: an agent that does not
/// answer is found again by its next calls.
#[derive(Debug, Default)]
pub struct Health(Mutex<HashMap<WorkspaceId, Known>>);

/// What a call says about its agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// It answered, with whatever.
    Answer,
    /// It had every chance, and did nothing.
    Silence,
    /// Nothing.
    None,
}

impl Health {
    fn with<T>(&self, id: WorkspaceId, work: impl FnOnce(&mut Known) -> T) -> T {
        let mut all = self.0.lock();
        if all.len() >= MOST && !all.contains_key(&id) {
            let quietest = all.iter().min_by_key(|(_, known)| known.touched);
            if let Some(quietest) = quietest.map(|(id, _)| *id) {
                all.remove(&quietest);
            }
        }
        let known = all.entry(id).or_default();
        known.touched = Some(Instant::now());
        work(known)
    }

    /// Whether one more call may try an agent that was observed not to answer.
    #[must_use]
    pub fn may_try(&self, id: WorkspaceId) -> bool {
        self.with(id, |known| {
            let now = Instant::now();
            let may = known.last_try.is_none_or(|last| now - last >= HALF_OPEN);
            if may {
                known.last_try = Some(now);
            }
            may
        })
    }

    /// The call that [`Health::may_try`] let pass was not made.
    pub fn did_not_try(&self, id: WorkspaceId) {
        self.with(id, |known| known.last_try = None);
    }

    /// Whether so long nobody has tried that any call may, however little time it has.
    #[must_use]
    pub fn is_long_untried(&self, id: WorkspaceId) -> bool {
        self.with(id, |known| {
            let first = *known.suspected.get_or_insert_with(Instant::now);
            let last = known.last_try.map_or(first, |last| last.max(first));
            last.elapsed() >= HALF_OPEN * 2
        })
    }

    /// Silent calls in a row, and when it last answered.
    #[must_use]
    pub fn seen(&self, id: WorkspaceId) -> (u32, Option<DateTime<Utc>>) {
        let all = self.0.lock();
        all.get(&id)
            .map_or((0, None), |known| (known.silent, known.last_answer))
    }

    /// Learns from a dial, and tells the registry what it says.
    pub(crate) async fn dialled(
        &self,
        app: &App,
        target: &Target,
        clock: &Clock,
        dialled: &Attempt,
    ) {
        match sign(app.config.unresponsive_min_deadline, target, clock, dialled) {
            Sign::None => {}
            Sign::Answer => {
                self.with(target.id, |known| {
                    known.silent = 0;
                    known.last_answer = Some(Utc::now());
                    known.last_try = None;
                    known.suspected = None;
                });
                if target.unresponsive {
                    report(app, target, String::new()).await;
                }
            }
            Sign::Silence if !still_has_room(app, target).await => {}
            Sign::Silence => {
                let silent = self.with(target.id, |known| {
                    known.silent = known.silent.saturating_add(1);
                    known.silent
                });
                self.silence(app, target, clock, silent).await;
            }
        }
    }

    async fn silence(&self, app: &App, target: &Target, clock: &Clock, silent: u32) {
        if silent < BEFORE_CANARY || target.unresponsive {
            return;
        }
        let observed = async {
            let mut connection = app.store.connection().await?;
            targets::observed(&mut connection, target.id).await
        };
        let Ok(observed) = observed.await else {
            return;
        };
        if !observed.enabled {
            return;
        }
        let canary_failed = silent < IN_A_ROW && observed.canary && !canary(app, target).await;
        if silent < IN_A_ROW && !canary_failed {
            return;
        }
        let mut evidence = format!(
            "{silent} calls in a row ended without an answer or progress, the last one after {} s",
            clock.patience().as_secs()
        );
        if canary_failed {
            evidence.push_str("; a canary was not answered either");
        }
        report(app, target, evidence).await;
    }
}

/// What it says now: beats may have told meanwhile that it is full.
async fn still_has_room(app: &App, target: &Target) -> bool {
    let now = Target::resolve(&app.resolver, target.id, None).await;
    now.is_ok_and(|now| now.epoch == target.epoch && now.has_room())
}

/// Short limits of callers do not count, nor calls to an agent that said it was full.
fn sign(least: Duration, target: &Target, clock: &Clock, dialled: &Attempt) -> Sign {
    match dialled {
        Attempt::Answered(..) | Attempt::Streams(..) | Attempt::TooLarge(_) => Sign::Answer,
        Attempt::Lost(..) | Attempt::Closed(_) | Attempt::NotReached(_) => Sign::None,
        Attempt::Expired(_, sent) => {
            let declared = target.idle_timeout.unwrap_or_default();
            let counts = clock.patience() >= least.max(declared);
            match *sent && counts && target.has_room() && clock.is_silent() {
                true => Sign::Silence,
                false => Sign::None,
            }
        }
    }
}

async fn report(app: &App, target: &Target, evidence: String) {
    let what = match evidence.is_empty() {
        true => "answered",
        false => "unresponsive",
    };
    metrics::counter!("candor_relay_observations_total", "what" => what).increment(1);
    let request = registry::ReportObservationRequest {
        workspace_id: target.id.to_string(),
        epoch: target.epoch,
        unresponsive_evidence: evidence,
    };
    let told = app
        .services
        .registry
        .call(&relay(), request, |mut c, r| async move {
            c.report_observation(r).await
        })
        .await;
    match told {
        Ok(answer) => tracing::info!(
            workspace = %target.id,
            what,
            status = answer.status,
            rule = answer.rule,
            "observed"
        ),
        // The next call says it again.
        Err(error) => tracing::warn!(
            workspace = %target.id,
            what,
            internal = error.internal_text(),
            "an observation was not told: {error}"
        ),
    }
}

/// Asks for a task that there is not: whoever answers that, in whatever way, works
/// through its requests.
async fn canary(app: &App, target: &Target) -> bool {
    let watch = app.progressing.watch(target.id);
    let mut clock = Clock::start(CANARY, Some(CANARY), watch);
    let body = r#"{"jsonrpc":"2.0","id":"canary","method":"tasks/get","params":{"id":"canary"}}"#;
    let letter = Letter {
        url: target.url.clone(),
        body: bytes::Bytes::from_static(body.as_bytes()),
        attempt: 1,
        a2a_version: String::new(),
        a2a_extensions: String::new(),
        streams: false,
    };
    matches!(
        attempt(app, letter, &mut clock).await,
        Attempt::Answered(..) | Attempt::Streams(..) | Attempt::TooLarge(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_in_thirty_seconds_tries_a_silent_agent() {
        let health = Health::default();
        let id = WorkspaceId::from_uuid(uuid::Uuid::from_u128(1));
        assert!(health.may_try(id));
        assert!(!health.may_try(id));
    }

    #[test]
    fn memory_is_bounded_by_forgetting_the_longest_quiet() {
        let health = Health::default();
        let id = |n: usize| WorkspaceId::from_uuid(uuid::Uuid::from_u128(n as u128));
        for n in 0..MOST {
            health.0.lock().insert(id(n), Known::default());
        }
        health.with(id(MOST), |known| known.silent = 2);
        assert_eq!(health.0.lock().len(), MOST);
        assert_eq!(health.seen(id(MOST)).0, 2);
    }
}
