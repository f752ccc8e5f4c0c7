//! One call of the agent, from its dial to the end of its answer.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use candor_egress::{AgentRequest, AgentResponse, DialError, Progress};
use tokio::sync::OwnedSemaphorePermit;

use super::Parts;
use super::asked::{Form, Kind, strip_connection};
use super::clock::{Clock, Expired};
use super::fault::Fault;
use super::judge::End;
use super::out::Out;
use super::outcome::{Outcome, Said, is_of_gateway};
use crate::vitals::Counted;

/// What is known of a call before it is made.
pub(super) struct Plan {
    pub kind: Kind,
    pub form: Form,
    /// The turn that it is, unless somebody else counts it.
    pub counted: Option<Counted>,
}

/// How far a message is for the judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judged {
    /// It is none, or is judged already.
    No,
    /// The agent may be at work on it.
    Open,
    /// Its time is over; an answer would still tell something.
    Late,
}

/// A call while it runs.
pub(super) struct Call {
    parts: Arc<Parts>,
    plan: Plan,
    out: Out,
    clock: Clock,
    progress: Progress,
    judged: Judged,
    /// The agent has said a part of its answer.
    has_data: bool,
    /// Among the calls that are open, later among those that are late.
    _place: OwnedSemaphorePermit,
}

impl Call {
    /// A call that begins now.
    pub(super) fn new(
        parts: Arc<Parts>,
        plan: Plan,
        place: OwnedSemaphorePermit,
        out: Out,
    ) -> Self {
        let progress = Progress::new();
        let settings = &parts.settings;
        let clock = Clock::start(settings.idle_timeout, settings.ceiling, progress.clone());
        let judged = match plan.kind {
            Kind::Message => {
                parts.judge.lock().begun(clock.started());
                Judged::Open
            }
            Kind::Read | Kind::Subscribe | Kind::Other => Judged::No,
        };
        Self {
            parts,
            plan,
            out,
            clock,
            progress,
            judged,
            has_data: false,
            _place: place,
        }
    }

    /// Makes it, to its end. Whoever drops this closes the connection.
    pub(super) async fn run(mut self, request: AgentRequest) {
        let (parts, progress) = (Arc::clone(&self.parts), self.progress.clone());
        match self.step(parts.egress.send(request, &progress)).await {
            None => {}
            Some(Ok(response)) => self.pass(response).await,
            Some(Err(error)) => self.not_answered(&error),
        }
    }

    /// Passes an answer on.
    async fn pass(&mut self, mut response: AgentResponse) {
        let is_the_agents = !is_of_gateway(response.status);
        let mut outcome = Outcome::of(response.status, &response.headers, self.plan.form);
        match outcome.is_stream() {
            // The head of a stream comes from the server, as its comments do.
            true => self.clock.ignore_bytes(),
            false => self.moved(is_the_agents),
        }
        strip_connection(&mut response.headers);
        self.out.begin(response.status, response.headers);
        // While one piece waits nothing is read; half the budget is left to the agent.
        let patience = self.parts.settings.idle_timeout / 2;
        loop {
            match self.step(response.body.next_chunk()).await {
                None => return,
                Some(None) => break,
                Some(Some(Ok(chunk))) => {
                    if outcome.push(&chunk) {
                        self.has_data = true;
                        self.moved(is_the_agents);
                    }
                    let since = Instant::now();
                    self.out.piece(chunk, patience).await;
                    self.clock.excuse(since);
                }
                Some(Some(Err(error))) => {
                    tracing::debug!(detail = error.detail(), "{error}");
                    let fault = Fault::lost(&error.to_string());
                    self.count_failure(fault.text());
                    self.judge(End::Unknown);
                    return self.out.fail(fault);
                }
            }
        }
        if self.judged != Judged::No {
            self.said(outcome.finish());
        }
        self.out.finish();
    }

    /// Waits for the next step of the agent; `None` ends the call.
    async fn step<F: Future>(&mut self, work: F) -> Option<F::Output> {
        let mut work = pin!(work);
        loop {
            let ends_with_caller = matches!(self.plan.kind, Kind::Read | Kind::Subscribe);
            let expired = tokio::select! {
                biased;
                done = self.clock.within(work.as_mut()) => match done {
                    Ok(done) => return Some(done),
                    Err(expired) => expired,
                },
                () = self.out.left(), if ends_with_caller => return None,
            };
            if !self.listens_on(expired) {
                return None;
            }
        }
    }

    /// A clock ran out: the caller is told. Whether the answer to a message is waited
    /// for all the same, to learn whether one comes.
    fn listens_on(&mut self, expired: Expired) -> bool {
        let fault = Fault::expired(expired, self.progress.flushed());
        self.count_failure(fault.text());
        self.out.fail(fault);
        if self.judged != Judged::Open {
            // What ends a late one here is our own limit, and says nothing.
            self.judged = Judged::No;
            return false;
        }
        match expired {
            // Some of its answer came, and it might have gone on.
            Expired::Ceiling(_) if self.has_data => self.judge(End::Unknown),
            Expired::Ceiling(_) | Expired::Idle(_) => self.judge(End::Unanswered),
        }
        let room = Arc::clone(&self.parts.late).try_acquire_owned();
        let (Expired::Idle(_), Ok(room)) = (expired, room) else {
            return false;
        };
        self._place = room;
        self.plan.counted = None;
        self.judged = Judged::Late;
        self.clock.ignore_idle();
        true
    }

    fn not_answered(&mut self, error: &DialError) {
        tracing::debug!(detail = error.detail(), "{error}");
        let fault = Fault::dial(error);
        self.count_failure(fault.text());
        self.judge(match error {
            DialError::ConnectRefused { .. } => End::Refused,
            _ => End::Unknown,
        });
        self.out.fail(fault);
    }

    fn said(&mut self, said: Said) {
        let end = match &said {
            Said::Result | Said::Canceled | Said::Error(_) => End::Answered,
            Said::Working => End::Working,
            Said::NoAnswer(_) => End::Unknown,
        };
        match (said, &mut self.plan.counted) {
            (Said::Result | Said::Working, Some(counted)) => counted.answered(),
            (Said::Error(error) | Said::NoAnswer(error), _) => self.count_failure(&error),
            // It was ended by somebody: nothing is held for the agent or against it.
            (Said::Canceled, _) | (_, None) => {}
        }
        self.judge(end);
    }

    fn moved(&mut self, is_the_agents: bool) {
        self.clock.moved();
        if is_the_agents {
            self.parts.judge.lock().moved(Instant::now());
        }
        if self.judged == Judged::Open {
            self.parts.vitals.moved();
        }
    }

    fn count_failure(&mut self, error: &str) {
        if let Some(counted) = &mut self.plan.counted {
            counted.failed(error);
        }
    }

    /// Tells the judge how the message ended, once.
    fn judge(&mut self, end: End) {
        let now = Instant::now();
        let began = self.clock.started();
        let judged = std::mem::replace(&mut self.judged, Judged::No);
        self.parts.conclude(|judge| match judged {
            Judged::No => None,
            Judged::Open => judge.ended(began, end, now),
            Judged::Late => judge.ended_late(end, now),
        });
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // A call that nobody waits for any more is none that the agent works on.
        if self.judged == Judged::Open {
            self.judge(End::Unknown);
        }
    }
}
