//! One workspace's turn: step after step, until nothing is to be done now.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use candor_kernel::{Error, Status, WorkspaceId};
use candor_process::config::Secret;
use candor_proto::registry::v1::Blueprint;
use candor_secrets::redact;
use tracing::Instrument as _;
use uuid::Uuid;

use super::act;
use super::plan::{self, NoPlan};
use super::step::{Facts, Handed, Step, Want, next};
use crate::app::App;
use crate::backend::{Backend, BackendError, Observed, Plan, Remove};
use crate::blueprint::{is, known};
use crate::environment;
use crate::store::instances::{self, Hold, Instance};
use crate::store::{progress, steps};

/// Steps of one turn; the next turn goes on.
const MOST_STEPS: usize = 64;
/// Pause while an instance has its time to call.
const CALL_PAUSE: Duration = Duration::from_millis(400);
/// After so long, one that was to hibernate and could not be stopped goes on.
const HIBERNATES: Duration = Duration::from_secs(30);
/// Pause after what nobody can be told of in the row: Postgres or the registry erred.
const ERROR_PAUSE: Duration = Duration::from_secs(2);
/// First and longest pause after a failed step.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A turn in progress.
pub(super) struct Turn<'a> {
    pub app: &'a Arc<App>,
    pub id: Uuid,
    /// The plan that was handed over in this turn: its token is known nowhere else.
    pub plan: Option<Plan>,
    /// The epoch that everything was brought for in this turn.
    pub prepared: Option<i64>,
}

/// What is known at one step.
pub(super) struct Seen<'a> {
    pub row: &'a Instance,
    pub hold: Hold,
    pub blueprint: Option<&'a Blueprint>,
    pub backend: &'a Arc<dyn Backend>,
}

impl Seen<'_> {
    /// Whether this is the workspace's status; one that is not there is removed.
    pub fn is(&self, status: Status) -> bool {
        match self.blueprint {
            Some(seen) => is(&seen.status, status),
            None => status == Status::Removed,
        }
    }

    /// How long the instance may take until it calls.
    pub fn provision_timeout(&self, app: &App) -> Duration {
        let runtime = self.blueprint.map_or("", |seen| seen.runtime.as_str());
        app.config.provision_timeout(runtime)
    }
}

/// What follows from a step.
pub(super) enum Flow {
    /// Look again at once.
    Again,
    /// The lease is given back, or is another's.
    Over,
    /// Look again after a pause.
    Pause(Duration),
    /// It failed, and is tried again after a growing pause.
    Retry(String),
    /// Nothing more is tried.
    Halt(String),
}

/// Moves one workspace on whose lease this process has.
pub(super) async fn run(app: &Arc<App>, id: Uuid) {
    let mut turn = Turn {
        app,
        id,
        plan: None,
        prepared: None,
    };
    for _ in 0..MOST_STEPS {
        if app.stop.is_cancelled() {
            break;
        }
        match turn.step().await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(
                    workspace = %id,
                    internal = error.internal_text(),
                    "an instance cannot be moved on now: {error}"
                );
                return turn.give_back(ERROR_PAUSE).await;
            }
        }
    }
    turn.give_back(Duration::ZERO).await;
}

impl Turn<'_> {
    /// One step; false when the turn is over.
    async fn step(&mut self) -> Result<bool, Error> {
        let mut connection = self.app.store.connection().await?;
        let row = instances::held(&mut connection, self.id, self.app.me).await?;
        drop(connection);
        let Some(row) = row else {
            return Ok(false);
        };
        let hold = Hold {
            id: self.id,
            owner: self.app.me,
            version: row.version,
        };
        let Some(backend) = self.app.backend(&row.backend).cloned() else {
            self.give_back(LONGEST_PAUSE).await;
            return Ok(false);
        };
        let blueprint = known(self.app, self.id).await?;
        let seen = Seen {
            row: &row,
            hold,
            blueprint: blueprint.as_ref(),
            backend: &backend,
        };
        let flow = match self.observed(&seen).await? {
            Ok(observed) => self.decide(&seen, &observed).await?,
            Err(flow) => flow,
        };
        self.follow(&seen, flow).await
    }

    /// What runs; what follows from not knowing, or from what is left elsewhere.
    async fn observed(&self, seen: &Seen<'_>) -> Result<Result<Observed, Flow>, Error> {
        if let Some(former) = &seen.row.former_backend {
            return Ok(Err(self.leave_former(seen, former).await?));
        }
        let fence = seen.blueprint.map(|blueprint| blueprint.fence_epoch);
        let overtaken = fence.is_some_and(|fence| fence > seen.row.epoch);
        if seen.row.desired().want == Want::Running && overtaken {
            // Something newer is wanted, and is taken over first.
            return Ok(Err(match self.newer(seen.row).await? {
                true => Flow::Again,
                false => Flow::Pause(FIRST_PAUSE),
            }));
        }
        Ok(match seen.backend.observe(seen.row.id()).await {
            Ok(observed) => Ok(observed),
            // Nothing is known, so nothing follows.
            Err(error) => Err(Flow::Retry(format!("observing: {error}"))),
        })
    }

    /// Takes over what is wanted now: whether it is something newer than the row.
    pub async fn newer(&self, row: &Instance) -> Result<bool, Error> {
        super::take::take(self.app).await?;
        let mut connection = self.app.store.connection().await?;
        let now = instances::held(&mut connection, self.id, self.app.me).await?;
        Ok(now.is_none_or(|now| now.version > row.version))
    }

    /// Whether something newer than the row was taken over while a step took its time.
    pub async fn is_overtaken(&self, seen: &Seen<'_>) -> bool {
        let Ok(mut connection) = self.app.store.connection().await else {
            return false;
        };
        let row = instances::held(&mut connection, self.id, self.app.me).await;
        row.is_ok_and(|row| row.is_none_or(|row| row.version > seen.row.version))
    }

    async fn leave_former(&self, seen: &Seen<'_>, former: &str) -> Result<Flow, Error> {
        let Some(backend) = self.app.backend(former) else {
            return Ok(Flow::Retry(format!(
                "{former} is not configured here, and may still run an instance"
            )));
        };
        let id = seen.row.id();
        let left = self.timed(seen, "leave_former", async {
            backend.stop(id, self.app.config.grace).await?;
            backend.remove(id, Remove::Configs).await
        });
        if let Err(error) = left.await {
            return Ok(Flow::Retry(error.to_string()));
        }
        let mut connection = self.app.store.connection().await?;
        progress::left_former(&mut connection, &seen.hold).await?;
        Ok(Flow::Again)
    }

    async fn decide(&mut self, seen: &Seen<'_>, observed: &Observed) -> Result<Flow, Error> {
        let (row, blueprint) = (seen.row, seen.blueprint);
        let called = blueprint.is_some_and(|seen| seen.epoch == row.epoch);
        // From its start on it has its time to call; what came before has its own.
        let since = row
            .started_at
            .filter(|_| row.desired().handed == Handed::Started);
        let waited = row.now - since.unwrap_or(row.wanted_at);
        let facts = Facts {
            called: called || row.called,
            overdue: waited.to_std().unwrap_or_default() > seen.provision_timeout(self.app),
        };
        let mut desired = row.desired();
        if desired.want == Want::Running && seen.is(Status::Removed) {
            match self.newer(row).await? {
                true => return Ok(Flow::Again),
                // Its end was taken over by another, which has forgotten it since.
                false => desired.want = Want::Gone(Remove::Configs),
            }
        }
        let step = next(&desired, observed, facts);
        if row.halted && step != Step::Nothing {
            // Nobody asked for more.
            return Ok(Flow::Halt(row.last_error.clone()));
        }
        match step {
            Step::Nothing => act::settled(self, seen, observed).await,
            Step::Wait => Ok(Flow::Pause(CALL_PAUSE)),
            Step::Stop => act::stop(self, seen).await,
            Step::HandOver => act::hand_over(self, seen).await,
            Step::Start => act::start(self, seen).await,
            Step::Replace { why } => {
                let why = fit_to_be_shown(&self.shown(&why).await);
                act::replace(self, seen, facts.called, &why).await
            }
            Step::TimedOut => act::timed_out(self, seen).await,
            Step::TakeAway(what) => act::take_away(self, seen, what).await,
        }
    }

    /// True if the turn goes on.
    async fn follow(&self, seen: &Seen<'_>, flow: Flow) -> Result<bool, Error> {
        match flow {
            Flow::Again => Ok(true),
            Flow::Over => Ok(false),
            Flow::Pause(pause) => {
                self.give_back(pause).await;
                Ok(false)
            }
            Flow::Retry(why) => {
                let why = self.shown(&why).await;
                self.retry(seen, &why).await?;
                Ok(false)
            }
            Flow::Halt(why) => {
                let why = self.shown(&why).await;
                let mut connection = self.app.store.connection().await?;
                let halted = progress::halt(&mut connection, &seen.hold, &why).await?;
                drop(connection);
                if !halted {
                    // Something newer is wanted, by whoever asks next.
                    self.give_back(Duration::ZERO).await;
                }
                self.app.settled.notify_waiters();
                Ok(false)
            }
        }
    }

    /// Later, unless it has had all its time: then it fails.
    async fn retry(&self, seen: &Seen<'_>, why: &str) -> Result<(), Error> {
        let waited = (seen.row.now - seen.row.wanted_at)
            .to_std()
            .unwrap_or_default();
        let late = waited > seen.provision_timeout(self.app);
        let wants_it = seen.row.desired().want == Want::Running;
        if late && seen.is(Status::Provisioning) && wants_it {
            act::too_late(self, seen, why).await?;
        }
        if !wants_it && seen.is(Status::Hibernating) && waited > HIBERNATES {
            act::not_hibernated(self, seen, why).await?;
        }
        let pause = pause_after(seen.row.attempts);
        let mut connection = self.app.store.connection().await?;
        let noted = progress::retry(&mut connection, &seen.hold, why, pause).await?;
        drop(connection);
        if !noted {
            self.give_back(Duration::ZERO).await;
        }
        tracing::warn!(
            workspace = %self.id,
            backend = %seen.row.backend,
            attempts = seen.row.attempts + 1,
            "an instance could not be moved on: {why}"
        );
        Ok(())
    }

    async fn give_back(&self, pause: Duration) {
        let given = async {
            let mut connection = self.app.store.connection().await?;
            instances::release(&mut connection, self.id, self.app.me, pause).await
        };
        if let Err(error) = given.await {
            // The lease ends by itself.
            tracing::debug!(workspace = %self.id, "a lease could not be given back: {error}");
        }
    }

    /// Does a step of a backend, and writes down how it ended.
    pub async fn timed<T>(
        &self,
        seen: &Seen<'_>,
        step: &'static str,
        work: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let started = Instant::now();
        let span = tracing::info_span!(
            "instance",
            otel.name = step,
            workspace = %self.id,
            epoch = seen.row.epoch,
            backend = %seen.row.backend,
        );
        let ended = work.instrument(span).await;
        let took = started.elapsed();
        let (outcome, detail) = match &ended {
            Ok(_) => ("done", String::new()),
            Err(error) => ("failed", error.to_string()),
        };
        metrics::histogram!("candor_provisioner_step_seconds", "step" => step, "outcome" => outcome)
            .record(took.as_secs_f64());
        self.note(seen, step, outcome, &detail, took).await;
        ended
    }

    /// Writes a step into the workspace's history, and tells whoever watches.
    pub async fn note(
        &self,
        seen: &Seen<'_>,
        step: &str,
        outcome: &str,
        detail: &str,
        took: Duration,
    ) {
        let detail = fit_to_be_shown(&self.shown(detail).await);
        tracing::info!(
            workspace = %self.id,
            epoch = seen.row.epoch,
            backend = %seen.row.backend,
            step,
            outcome,
            took = ?took,
            "{detail}"
        );
        let done = steps::Done {
            id: self.id,
            epoch: seen.row.epoch,
            step,
            outcome,
            detail: &detail,
            took: i64::try_from(took.as_millis()).unwrap_or(i64::MAX),
        };
        let written = async {
            let mut connection = self.app.store.connection().await?;
            steps::record(&mut connection, &done).await
        };
        if let Err(error) = written.await {
            // The history is for people; the row says how far the instance is.
            tracing::warn!(workspace = %self.id, "a step is not in the history: {error}");
        }
        super::tell::step(self.app, &done).await;
    }

    /// What an instance or its backend said, as people may see it.
    pub async fn shown(&self, text: &str) -> String {
        environment::shown(self.app, WorkspaceId::from_uuid(self.id), text).await
    }

    /// The plan with its token, made anew.
    pub async fn make_plan(
        &self,
        seen: &Seen<'_>,
        blueprint: &Blueprint,
        token: Secret,
    ) -> Result<Plan, NoPlan> {
        plan::make(self.app, seen.row, blueprint, token).await
    }
}

/// An instance's last words may be any bytes, and hold anything: no column takes a NUL,
/// and nobody is shown a secret.
fn fit_to_be_shown(why: &str) -> String {
    let plain: String = why
        .chars()
        .map(|letter| match letter {
            '\n' | '\t' => letter,
            _ if letter.is_control() => '\u{fffd}',
            _ => letter,
        })
        .collect();
    redact(&plain)
}

/// Grows with each attempt; nobody tries at the same moment as the others.
fn pause_after(attempts: i32) -> Duration {
    let doubled = 1_u32 << u32::try_from(attempts).unwrap_or(0).min(8);
    let most = FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE);
    most.mul_f64(rand::random_range(0.5..=1.0))
}
