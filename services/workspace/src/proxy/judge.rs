//! Whether the agent beside this process can still answer, told from outside: a
//! function of what was seen and when. No I/O, no clock of its own.
//!
//! What is seen: messages that begin and end, pieces of any answer (*signs of life*),
//! and canaries. What is concluded, and why so, stands in [`super`].

use std::time::{Duration, Instant};

/// Canaries in a row that mean something: one may be bad luck.
const CANARIES: u32 = 2;

/// What the conclusions rest on.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// How long an agent that works may show no sign of life.
    pub idle: Duration,
    /// Messages in a row without an answer that are a wedge.
    pub unanswered: u32,
    /// The shortest time that a message without an answer was given.
    pub given: Duration,
    /// The time between two canaries, and between two calls that are tried while a
    /// wedge stands.
    pub canary_every: Duration,
    /// Where the agent should listen, for people.
    pub agent: String,
}

/// How a message ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With an answer, be it an error in the protocol's words.
    Answered,
    /// With a task that the agent goes on to work on.
    Working,
    /// Its time ran out.
    Unanswered,
    /// Nobody took the connection for it.
    Refused,
    /// In another way, which says nothing about whether the agent answers.
    Unknown,
}

/// What came of a canary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Canary {
    /// An answer, whatever it says.
    Answered,
    /// No answer, and why not.
    Silent(String),
    /// Nobody takes connections.
    Refused,
}

/// What is new about the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// It cannot answer; the evidence in words.
    Wedged(String),
    /// It was seen to answer.
    Answers,
}

/// Which evidence a wedge rests on: what ends it must be as good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wedge {
    /// Not even its card is answered.
    Silent,
    /// Messages are not answered, whatever else is.
    Unanswering,
}

/// The evidence so far.
#[derive(Debug)]
pub(super) struct Judge {
    rules: Rules,
    /// The last sign of life, or the beginning.
    alive: Instant,
    /// Messages that the agent has, and their time is not over.
    open: usize,
    /// Since when it may be at work without a sign of life.
    busy: Option<Instant>,
    /// When it last said that it works on although nobody waits.
    working: Option<Instant>,
    /// Messages in a row without an answer, and when the first of them began.
    unanswered: u32,
    unanswered_since: Option<Instant>,
    /// Canaries in a row that failed.
    failed: u32,
    /// Connections in a row that were refused, of canaries and of messages.
    refused: u32,
    /// When the last one was refused.
    refused_at: Option<Instant>,
    /// It was gone, or silent altogether, since it last answered a canary.
    was_away: bool,
    wedge: Option<Wedge>,
    tried: Option<Instant>,
}

impl Judge {
    pub(super) fn new(rules: Rules, now: Instant) -> Self {
        Self {
            rules,
            alive: now,
            open: 0,
            busy: None,
            working: None,
            unanswered: 0,
            unanswered_since: None,
            failed: 0,
            refused: 0,
            refused_at: None,
            was_away: false,
            wedge: None,
            tried: None,
        }
    }

    /// Whether a message is tried now; while a wedge stands, one for each period.
    pub(super) fn tries(&mut self, now: Instant) -> bool {
        let period = self.rules.canary_every;
        let is_recent = |tried: Instant| now.duration_since(tried) < period;
        if self.wedge.is_some() {
            if self.tried.is_some_and(is_recent) {
                return false;
            }
            self.tried = Some(now);
        }
        true
    }

    /// The agent is given a message.
    pub(super) fn begun(&mut self, now: Instant) {
        self.open += 1;
        self.busy.get_or_insert(now);
    }

    /// The agent said something.
    pub(super) fn moved(&mut self, now: Instant) {
        self.alive = now;
        (self.failed, self.refused) = (0, 0);
        self.busy = (self.open > 0).then_some(now);
    }

    /// A message that began at `began` ended.
    pub(super) fn ended(&mut self, began: Instant, end: End, now: Instant) -> Option<News> {
        self.open = self.open.saturating_sub(1);
        if self.open == 0 {
            self.busy = None;
        }
        match end {
            End::Answered | End::Working => Some(self.answered(end, now)),
            End::Unanswered => self.not_answered(began, now),
            End::Refused => self.message_refused(now),
            End::Unknown => None,
        }
    }

    /// A message whose time was over ended after all.
    pub(super) fn ended_late(&mut self, end: End, now: Instant) -> Option<News> {
        if matches!(end, End::Answered | End::Working) {
            return Some(self.answered(end, now));
        }
        // The agent let go of what it was stuck on: perhaps another process.
        self.was_away = true;
        None
    }

    /// Whether a canary would tell anything. One that an agent at work left waiting
    /// is enough: more would fill the queue of its listener. Who refused the last one
    /// has no such queue.
    pub(super) fn wants_canary(&self, now: Instant) -> bool {
        let left_waiting = self.failed > 0 && self.refused == 0;
        !(self.is_at_work(now) && left_waiting)
    }

    /// A canary ended.
    pub(super) fn canary(&mut self, canary: &Canary, now: Instant) -> Option<News> {
        match canary {
            Canary::Answered => self.canary_answered(now),
            Canary::Silent(why) => {
                self.refused = 0;
                // It may be at work, with a single thread.
                if self.is_at_work(now) {
                    self.failed = 1;
                    return None;
                }
                self.failed += 1;
                if self.failed < CANARIES {
                    return None;
                }
                self.was_away = true;
                let (silent, failed) = (self.silent(now), self.failed);
                self.wedged(Wedge::Silent, || {
                    format!(
                        "no answer from the agent for {silent} s: {failed} requests in a \
                         row for its card failed, the last one: {why}"
                    )
                })
            }
            Canary::Refused => {
                self.failed += 1;
                self.refused(now)
            }
        }
    }

    /// A burst of messages proves no more than one of them: an agent that is started
    /// anew refuses for a moment.
    fn message_refused(&mut self, now: Instant) -> Option<News> {
        let period = self.rules.canary_every;
        let is_recent = |at: Instant| now.duration_since(at) < period;
        match self.refused > 0 && self.refused_at.is_some_and(is_recent) {
            true => None,
            false => self.refused(now),
        }
    }

    fn refused(&mut self, now: Instant) -> Option<News> {
        self.refused += 1;
        self.refused_at = Some(now);
        self.was_away = true;
        // Who is gone is not at work.
        let is_evidence =
            self.refused >= CANARIES || self.failed >= CANARIES && !self.is_at_work(now);
        if !is_evidence {
            return None;
        }
        let (silent, agent) = (self.silent(now), self.rules.agent.clone());
        self.wedged(Wedge::Silent, || {
            format!("nobody listens at {agent}: no answer from the agent for {silent} s")
        })
    }

    fn canary_answered(&mut self, now: Instant) -> Option<News> {
        self.moved(now);
        let was_away = std::mem::take(&mut self.was_away);
        if was_away {
            // What it was stuck on went with what it was.
            self.unanswered = 0;
            self.unanswered_since = None;
        }
        // A card that was answered all the time proves nothing about messages.
        let ends = match self.wedge {
            None => false,
            Some(Wedge::Silent) => true,
            Some(Wedge::Unanswering) => was_away,
        };
        ends.then(|| {
            self.wedge = None;
            News::Answers
        })
    }

    fn answered(&mut self, end: End, now: Instant) -> News {
        self.moved(now);
        if end == End::Working {
            self.working = Some(now);
        }
        self.unanswered = 0;
        self.unanswered_since = None;
        self.was_away = false;
        self.wedge = None;
        News::Answers
    }

    fn not_answered(&mut self, began: Instant, now: Instant) -> Option<News> {
        self.unanswered += 1;
        let since = *self.unanswered_since.get_or_insert(began);
        let (count, given) = (self.unanswered, self.rules.given.as_secs());
        if count < self.rules.unanswered.max(1) {
            return None;
        }
        let silent = now.duration_since(since).as_secs();
        self.wedged(Wedge::Unanswering, || {
            format!(
                "no answer from the agent for {silent} s: {count} messages in a row got \
                 none, with {given} s or more for each"
            )
        })
    }

    /// It was given a message, and may be silent for as long as its budget goes, from
    /// its last sign of life or the first message after that.
    /// Who is wedged already is excused by nothing.
    fn is_at_work(&self, now: Instant) -> bool {
        let is_new = |since: Instant| now.duration_since(since) < self.rules.idle;
        self.wedge.is_none() && (self.busy.is_some_and(is_new) || self.working.is_some_and(is_new))
    }

    fn silent(&self, now: Instant) -> u64 {
        now.duration_since(self.alive).as_secs()
    }

    /// The first evidence stays.
    fn wedged(&mut self, wedge: Wedge, reason: impl FnOnce() -> String) -> Option<News> {
        if self.wedge.is_some() {
            return None;
        }
        self.wedge = Some(wedge);
        Some(News::Wedged(reason()))
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
