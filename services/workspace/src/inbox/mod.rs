//! The inbox: tells the agent that tasks which it handed to others are finished.
//!
//! Each result is told at least once, whenever this process ends: what was found is
//! written down before anything relies on it, and is forgotten when the platform has
//! accepted the message about it. A repeated message has the id of the first, by which
//! the platform joins it to one that is still under way.

#[cfg(test)]
mod cursor_tests;
mod file;
mod message;
mod poll;
mod rows;
mod state;

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use rand::Rng as _;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use self::file::StateFile;
use self::poll::Answer;
use self::state::State;
use crate::platform::{CallError, Platform};
use crate::registration::Announced;
use crate::self_message::Told;
use crate::vitals::Vitals;

/// Answers to one cursor after the other, before something else is done.
const ROUNDS: usize = 20;
/// The pause between messages doubles so often at most while they are refused.
const DOUBLINGS: u32 = 5;
/// The pause before the first answer, which says where to begin, is asked for again.
const FIRST: Duration = Duration::from_secs(1);
/// The lines about looks that fail: the first one, then each so many.
const SAY_EVERY: u32 = 20;

/// How often the inbox does what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InboxSettings {
    /// Pause between looks, give or take a tenth.
    pub poll_every: Duration,
    /// Shortest pause between messages to the agent.
    pub cooldown: Duration,
    /// Longest wait for the agent's answer to one: as long as the platform lets a call
    /// take.
    pub answer_within: Duration,
}

impl Default for InboxSettings {
    fn default() -> Self {
        Self {
            poll_every: Duration::from_secs(30),
            cooldown: Duration::from_secs(60),
            answer_within: Duration::from_secs(31 * 60),
        }
    }
}

/// Asks the inbox to look now. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Nudge(Arc<Notify>);

impl Nudge {
    /// Look now; many at a time are one.
    pub fn nudge(&self) {
        self.0.notify_one();
    }
}

/// The inbox of this workspace.
#[derive(Debug)]
pub struct Inbox {
    platform: Platform,
    vitals: Arc<Vitals>,
    settings: InboxSettings,
    file: StateFile,
    state: State,
    /// Nothing says yet where to begin.
    is_first: bool,
    /// Looks in a row that brought nothing.
    unread: u32,
    /// Messages in a row that did not arrive.
    refused: u32,
    nudged: Arc<Notify>,
}

impl Inbox {
    /// The inbox whose state is below `configs_dir`. The very first one begins after
    /// the newest result that the platform has when it answers first.
    ///
    /// # Errors
    /// When the state cannot be read or written.
    pub fn open(
        configs_dir: &Path,
        platform: Platform,
        vitals: Arc<Vitals>,
        settings: InboxSettings,
    ) -> io::Result<Self> {
        let file = StateFile::below(configs_dir)?;
        let read = file.read()?;
        let is_first = read.is_none();
        let state = read.unwrap_or_default();
        if is_first {
            // Whatever this process does not come to, the next one must not take for
            // something that was there before.
            file.write(&state)?;
        }
        Ok(Self {
            platform,
            vitals,
            settings,
            file,
            state,
            is_first,
            unread: 0,
            refused: 0,
            nudged: Arc::default(),
        })
    }

    /// What asks it to look now.
    #[must_use]
    pub fn nudger(&self) -> Nudge {
        Nudge(Arc::clone(&self.nudged))
    }

    /// Looks and tells until it is stopped; not before this process is where messages to
    /// the workspace go: another one may still be there.
    ///
    /// # Errors
    /// None: what fails is done again.
    pub async fn run(
        mut self,
        mut announced: watch::Receiver<Announced>,
        stop: CancellationToken,
    ) -> Result<(), Infallible> {
        let settled = announced.wait_for(|state| state.is_settled());
        if !matches!(stop.run_until_cancelled(settled).await, Some(Ok(_))) {
            stop.cancelled().await;
        }
        while !stop.is_cancelled() {
            if self.vitals.standing().is_current() {
                self.look(&stop).await;
                self.tell(&stop).await;
            }
            let pause = self.pause();
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.nudged.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        Ok(())
    }

    /// Until the next look: sooner if there is something to tell before.
    fn pause(&self) -> Duration {
        let jitter = rand::rng().random_range(0.9..1.1);
        let usual = self.settings.poll_every.mul_f64(jitter);
        match (self.is_first, self.state.has_news() && self.may_tell()) {
            (true, _) => usual.min(FIRST * 2_u32.pow(self.unread.min(DOUBLINGS))),
            (_, true) => usual.min(self.cooldown_left()),
            _ => usual,
        }
    }

    async fn look(&mut self, stop: &CancellationToken) {
        let looked = stop.run_until_cancelled(self.find()).await;
        match looked {
            Some(Err(error)) => {
                if self.unread.is_multiple_of(SAY_EVERY) {
                    tracing::warn!(%error, "results of delegations cannot be read; they wait");
                }
                self.unread = self.unread.saturating_add(1);
            }
            Some(Ok(())) => self.unread = 0,
            None => {}
        }
    }

    async fn find(&mut self) -> Result<(), CallError> {
        for _ in 0..ROUNDS {
            let mut state = self.state.clone();
            let has_more = self.read_on(&mut state).await?;
            // From here to the end of the round nothing waits: all of it or nothing.
            if self.is_first || state != self.state {
                if let Err(error) = self.file.write(&state) {
                    tracing::warn!(%error, "the inbox cannot be written: results wait");
                    return Ok(());
                }
                self.state = state;
                self.is_first = false;
            }
            if !has_more {
                break;
            }
        }
        Ok(())
    }

    /// Reads on from the cursor; true if there may be more.
    async fn read_on(&self, state: &mut State) -> Result<bool, CallError> {
        let Some(cursor) = state.cursor.clone() else {
            let all = poll::newest(&self.platform, None).await?;
            match self.is_first {
                true => state.begin_after(all),
                false => state.take(all),
            }
            return Ok(false);
        };
        match poll::since(&self.platform, &cursor).await? {
            Answer::Rows(rows, is_full) => {
                state.look_again(&rows);
                // Who answers a cursor with its own row does not know cursors.
                let has_more = is_full && rows.iter().all(|row| row.id != cursor);
                state.take(rows::after(&cursor, rows));
                Ok(has_more)
            }
            Answer::Gone => {
                tracing::info!(
                    cursor,
                    "the platform no longer has the last row that was read"
                );
                let rest = poll::newest(&self.platform, state.cursor_at).await?;
                state.cursor = None;
                state.take(rest);
                Ok(false)
            }
        }
    }

    fn may_tell(&self) -> bool {
        !self.vitals.is_wedged() && self.vitals.standing().is_current()
    }

    /// Until the next message may be sent. A clock that was set back lets it through.
    fn cooldown_left(&self) -> Duration {
        let cooldown = self.settings.cooldown * 2_u32.pow(self.refused.min(DOUBLINGS));
        let since = self.state.told_at.map(|at| (Utc::now() - at).to_std());
        match since {
            Some(Ok(since)) => cooldown.saturating_sub(since),
            _ => Duration::ZERO,
        }
    }

    async fn tell(&mut self, stop: &CancellationToken) {
        if !self.state.has_news() || !self.may_tell() || !self.cooldown_left().is_zero() {
            return;
        }
        let mut state = self.state.clone();
        let telling = state.begin_telling(Utc::now());
        if let Err(error) = self.file.write(&state) {
            tracing::warn!(%error, "the inbox cannot be written: nothing is told");
            return;
        }
        self.state = state;
        let results = &self.state.unreported[..telling.named];
        let workspace = self.platform.workspace().to_string();
        let message = message::message(&workspace, results, telling.unnamed);
        let sending = message.send(&self.platform, self.settings.answer_within);
        match stop.run_until_cancelled(sending).await {
            None => return,
            Some(Told::Yes) => {}
            Some(Told::Perhaps(words) | Told::No(words)) => {
                self.refused = self.refused.saturating_add(1);
                tracing::warn!(words, "the agent was not told of results; it will be");
                return;
            }
        }
        self.refused = 0;
        self.state.told(telling);
        if let Err(error) = self.file.write(&self.state) {
            tracing::warn!(%error, "the inbox cannot be written: results may be told again");
        }
    }
}
