//! The one place where the agent's work is done: turns are admitted, counted, and
//! their errors examined.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use crate::executor::{Answer, Executor, Observer, Turn, TurnError};
use crate::vitals::Vitals;

/// Turns that wait for another one to end; one more is refused at once.
const WAITING: usize = 32;

/// The agent's turns. Cheap to clone.
#[derive(Clone)]
pub struct Turns(Arc<Parts>);

struct Parts {
    executor: Arc<dyn Executor>,
    vitals: Arc<Vitals>,
    running: Semaphore,
    admitted: AtomicUsize,
    most: usize,
    observer: Option<Arc<dyn Observer>>,
}

/// A turn that is counted among those that are there, until it is dropped.
struct Admitted<'a>(&'a Parts);

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.0.admitted.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Turns {
    /// Turns of `executor`, counted in `vitals`.
    #[must_use]
    pub fn new(executor: Arc<dyn Executor>, vitals: Arc<Vitals>) -> Self {
        Self::observed(executor, vitals, None)
    }

    /// The same; what the turns tell is told to `observer` as well.
    #[must_use]
    pub fn observed(
        executor: Arc<dyn Executor>,
        vitals: Arc<Vitals>,
        observer: Option<Arc<dyn Observer>>,
    ) -> Self {
        let parallel = executor.parallel().max(1);
        Self(Arc::new(Parts {
            running: Semaphore::new(parallel),
            admitted: AtomicUsize::new(0),
            most: parallel + WAITING,
            executor,
            vitals,
            observer,
        }))
    }

    /// Who does the work.
    #[must_use]
    pub fn executor(&self) -> &Arc<dyn Executor> {
        &self.0.executor
    }

    /// What is counted.
    #[must_use]
    pub fn vitals(&self) -> &Arc<Vitals> {
        &self.0.vitals
    }

    /// Does one turn. A wedged agent is not asked: the caller has the reason at once.
    ///
    /// # Errors
    /// [`TurnError`].
    pub async fn run(&self, turn: Turn) -> Result<Answer, TurnError> {
        let parts = &*self.0;
        let _admitted = parts.admit()?;
        let mut counted = parts.vitals.begin(&turn.prompt.text);
        let cancel = turn.cancel.clone();
        let outcome = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(TurnError::Cancelled),
            outcome = parts.work(turn) => outcome,
        };
        metrics::counter!("candor_workspace_turns_total", "outcome" => word(&outcome)).increment(1);
        match &outcome {
            Ok(_) => counted.answered(),
            Err(TurnError::Failed(error)) => {
                counted.failed(error);
                let detector = parts.executor.detector();
                if detector.is_some_and(|detector| detector.finds(error)) {
                    parts.vitals.mark_wedged(error);
                }
            }
            Err(_) => {}
        }
        outcome
    }
}

impl Parts {
    fn admit(&self) -> Result<Admitted<'_>, TurnError> {
        self.refusal()?;
        let before = self.admitted.fetch_add(1, Ordering::AcqRel);
        let admitted = Admitted(self);
        if before >= self.most {
            return Err(TurnError::Busy(WAITING));
        }
        Ok(admitted)
    }

    /// What no turn is tried for.
    fn refusal(&self) -> Result<(), TurnError> {
        if let Some(reason) = self.vitals.standing().refusal() {
            return Err(TurnError::Retired(reason));
        }
        match self.vitals.wedge_reason() {
            Some(reason) => Err(TurnError::Wedged(reason.to_string())),
            None => Ok(()),
        }
    }

    async fn work(&self, mut turn: Turn) -> Result<Answer, TurnError> {
        // Never closed; and if it were, no turn would wait for ever.
        let _place = self.running.acquire().await;
        // What was learnt while it waited.
        self.refusal()?;
        if let Some(observer) = &self.observer {
            turn.updates = turn.updates.observed_by(Arc::clone(observer));
        }
        self.executor.turn(turn).await
    }
}

fn word(outcome: &Result<Answer, TurnError>) -> &'static str {
    match outcome {
        Ok(_) => "answered",
        Err(TurnError::Failed(_)) => "failed",
        Err(TurnError::Cancelled) => "cancelled",
        Err(TurnError::Wedged(_) | TurnError::Busy(_) | TurnError::Retired(_)) => "refused",
    }
}
