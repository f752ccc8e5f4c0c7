//! The tasks, in memory: as many as are worth keeping, and who follows them.
//!
//! What happens to a task and what its followers are told is one step under one lock,
//! so that all of them see the same events in the same order, after a snapshot that
//! misses none of them.

mod entry;
mod page;

use std::collections::HashMap;
use std::sync::Arc;

use candor_process::scales::Scales;
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

pub(super) use self::entry::Event;
use self::entry::{Channel, Entry};
pub(super) use self::page::Filter;
use super::digest::Digest;
use super::wire::{Page, State, Task};
use crate::executor::Answer;

/// What is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Tasks; those that run are never dropped, and [`crate::turns`] bounds them.
    pub tasks: usize,
    /// Bytes of all of them.
    pub bytes: usize,
    /// Events that a follower may be behind.
    pub behind: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tasks: 512,
            bytes: 64 * 1024 * 1024,
            behind: 256,
        }
    }
}

/// A task's snapshot, and what happens to it from then on.
#[derive(Debug)]
pub(super) struct Followed {
    pub task: Task,
    pub events: broadcast::Receiver<Event>,
}

/// The tasks.
#[derive(Debug)]
pub(super) struct Store {
    limits: Limits,
    unread: Scales,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    tasks: HashMap<String, Entry>,
    /// Counts changes; the newest of a task is what its place in a list is made of.
    changes: u64,
    bytes: usize,
}

impl Store {
    /// Events that nobody has read yet are weighed by `unread`.
    pub(super) fn new(limits: Limits, unread: Scales) -> Self {
        Self {
            limits,
            unread,
            inner: Mutex::default(),
        }
    }

    /// A task begins, of a message with this digest. Where there are too many, the one
    /// that ended first is dropped.
    pub(super) fn begin(&self, task: Task, cancel: CancellationToken, digest: Digest) -> Followed {
        let mut inner = self.inner.lock();
        let (sender, events) = broadcast::channel(self.limits.behind);
        inner.changes += 1;
        let channel = Channel::new(sender, self.unread.clone());
        let entry = Entry::new(task.clone(), cancel, channel, digest, inner.changes);
        inner.bytes += entry.bytes();
        inner.tasks.insert(task.id.clone(), entry);
        inner.fit(self.limits);
        Followed { task, events }
    }

    /// The task as it is now.
    pub(super) fn get(&self, id: &str) -> Option<Task> {
        let inner = self.inner.lock();
        inner.tasks.get(id).map(|entry| entry.task().clone())
    }

    /// The task as it is now, and what follows; `Err` where nothing does.
    pub(super) fn follow(&self, id: &str) -> Option<Result<Followed, State>> {
        let inner = self.inner.lock();
        inner.tasks.get(id).map(Entry::follow)
    }

    /// The task as it is now, and what follows, if anything does.
    pub(super) fn follow_or_get(
        &self,
        id: &str,
    ) -> Option<(Task, Option<broadcast::Receiver<Event>>)> {
        let inner = self.inner.lock();
        let entry = inner.tasks.get(id)?;
        Some(match entry.follow() {
            Ok(followed) => (followed.task, Some(followed.events)),
            Err(_) => (entry.task().clone(), None),
        })
    }

    /// The newest task, by its id, that a message with this digest began; one that was
    /// refused while it waited has begun nothing.
    pub(super) fn begun_by(&self, digest: &Digest) -> Option<String> {
        let inner = self.inner.lock();
        let begun = inner.tasks.values().filter(|entry| entry.is_of(digest));
        let newest = begun.max_by_key(|entry| entry.change());
        newest.map(|entry| entry.task().id.clone())
    }

    /// What ends the task's turn.
    pub(super) fn canceller(&self, id: &str) -> Option<CancellationToken> {
        let inner = self.inner.lock();
        inner.tasks.get(id).map(Entry::canceller)
    }

    /// It is being worked on; `note` says at what.
    pub(super) fn working(&self, id: &str, note: Option<String>) {
        self.change(id, |entry| entry.working(note));
    }

    /// More of its answer.
    pub(super) fn told(&self, id: &str, text: String) {
        self.change(id, |entry| entry.told(text));
    }

    /// It has its answer.
    pub(super) fn completed(&self, id: &str, answer: &Answer) {
        self.change(id, |entry| entry.completed(answer));
    }

    /// It ended without one; nothing happens to a task that has ended.
    pub(super) fn ended(&self, id: &str, state: State, why: Option<&str>) {
        self.change(id, |entry| entry.ended(state, why));
    }

    /// It was refused while it waited: nothing was tried.
    pub(super) fn refused(&self, id: &str, why: &str) {
        self.change(id, |entry| entry.refused(why));
    }

    /// A page of the tasks, the newest change first.
    pub(super) fn page(&self, filter: &Filter) -> Page {
        let inner = self.inner.lock();
        filter.page(inner.tasks.values())
    }

    fn change(&self, id: &str, how: impl FnOnce(&mut Entry)) {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let Some(entry) = inner.tasks.get_mut(id) else {
            return;
        };
        if entry.state().is_terminal() {
            return;
        }
        inner.changes += 1;
        inner.bytes -= entry.bytes();
        how(entry);
        entry.touch(inner.changes);
        inner.bytes += entry.bytes();
        inner.fit(self.limits);
    }
}

impl Inner {
    fn fit(&mut self, limits: Limits) {
        while self.tasks.len() > limits.tasks || self.bytes > limits.bytes {
            let ended = self
                .tasks
                .iter()
                .filter(|(_, entry)| entry.state().is_terminal());
            let oldest = ended.min_by_key(|(_, entry)| entry.change());
            let Some(id) = oldest.map(|(id, _)| id.clone()) else {
                return;
            };
            if let Some(entry) = self.tasks.remove(&id) {
                self.bytes -= entry.bytes();
            }
        }
    }
}

/// Shared by those who serve and those who work.
pub(super) type Shared = Arc<Store>;

#[cfg(test)]
mod tests;
