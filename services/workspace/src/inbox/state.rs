//! What the inbox remembers: how far it has read, and what the agent was not told yet.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::rows::{Finished, Kind, Row};

/// Results that are kept by name; of further ones only the number is.
pub(super) const NAMED: usize = 1_000;
/// Legacy rows whose result is still to come.
const AWAITED: usize = 1_000;
/// Results that are named in one message.
const AT_ONCE: usize = 100;

/// The state, as it is on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct State {
    /// The newest row that was read.
    pub(super) cursor: Option<String>,
    /// When it was written, by the platform's clock.
    pub(super) cursor_at: Option<DateTime<Utc>>,
    /// Results that the agent was not told of, oldest first.
    pub(super) unreported: Vec<Finished>,
    /// Further ones, which were not kept by name.
    pub(super) unnamed: u64,
    /// Rows that were read before their result was in them.
    pub(super) awaited: Vec<String>,
    /// The message that was begun; repeated until it is known that it arrived.
    pub(super) telling: Option<Telling>,
    /// When the last message was begun, by this machine's clock.
    pub(super) told_at: Option<DateTime<Utc>>,
}

/// What one message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Telling {
    /// So many of the unreported, from the first.
    pub(super) named: usize,
    /// So many of those that have no name here.
    pub(super) unnamed: u64,
}

impl State {
    /// Whether there is something to tell.
    pub(super) fn has_news(&self) -> bool {
        !self.unreported.is_empty() || self.unnamed > 0
    }

    /// Takes new rows, oldest first; the cursor is then at the last of them.
    pub(super) fn take(&mut self, new: Vec<Row>) {
        self.read_to(new.last());
        for row in new {
            match row.kind {
                Kind::Finished(finished) => self.finished(finished),
                Kind::Awaited => self.awaits(row.id),
                Kind::Other => {}
            }
        }
    }

    /// Begins after these rows, oldest first: what ended before the first start is
    /// not told.
    pub(super) fn begin_after(&mut self, old: Vec<Row>) {
        self.read_to(old.last());
        for row in old.into_iter().filter(|row| row.kind == Kind::Awaited) {
            self.awaits(row.id);
        }
    }

    fn read_to(&mut self, last: Option<&Row>) {
        if let Some(last) = last {
            self.cursor = Some(last.id.clone());
            self.cursor_at = last.created_at.or(self.cursor_at);
        }
    }

    /// Sees rows again that were read before: the result of an awaited one may be there.
    pub(super) fn look_again(&mut self, rows: &[Row]) {
        for row in rows {
            let Kind::Finished(finished) = &row.kind else {
                continue;
            };
            if let Some(place) = self.awaited.iter().position(|id| *id == row.id) {
                self.awaited.remove(place);
                self.finished(finished.clone());
            }
        }
    }

    fn finished(&mut self, finished: Finished) {
        if self
            .unreported
            .iter()
            .any(|known| known.row == finished.row)
        {
            return;
        }
        match self.unreported.len() < NAMED {
            true => self.unreported.push(finished),
            false => self.unnamed += 1,
        }
    }

    fn awaits(&mut self, row: String) {
        if self.awaited.len() >= AWAITED {
            tracing::warn!(row, "too many delegations wait: this one's end is not told");
            return;
        }
        self.awaited.push(row);
    }

    /// What the next message says: what the last one said, unless that arrived.
    pub(super) fn begin_telling(&mut self, now: DateTime<Utc>) -> Telling {
        let named = self.unreported.len().min(AT_ONCE);
        let is_all = named == self.unreported.len();
        let next = Telling {
            named,
            unnamed: if is_all { self.unnamed } else { 0 },
        };
        self.told_at = Some(now);
        let telling = *self.telling.get_or_insert(next);
        // A file that somebody edited must not end the process.
        Telling {
            named: telling.named.min(self.unreported.len()),
            ..telling
        }
    }

    /// It arrived.
    pub(super) fn told(&mut self, telling: Telling) {
        self.unreported
            .drain(..telling.named.min(self.unreported.len()));
        self.unnamed = self.unnamed.saturating_sub(telling.unnamed);
        self.telling = None;
    }
}
