//! One task, and whoever follows it.

use std::sync::Arc;

use candor_process::scales::{Scales, Weight};
use serde_json::{Map, Value};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::Followed;
use crate::a2a::digest::Digest;
use crate::a2a::wire::{
    ANSWER_BYTES, Artifact, ArtifactUpdate, CUT, METADATA_BYTES, Message, Payload, State, Status,
    StatusUpdate, Task,
};
use crate::executor::Answer;

/// What is kept of an answer, in bytes. What is told beyond that while the task runs
/// comes with the last chunk.
const KEPT: usize = 1024 * 1024;
/// What is kept of an error, or of a note, in bytes.
const WORDS: usize = 64 * 1024;
/// What is kept of what is told beside an answer, in bytes.
const METADATA: usize = 256 * 1024;
/// What a task takes without its texts, about, in bytes.
const OVERHEAD: usize = 1024;

/// One event of a task's streams.
#[derive(Debug, Clone)]
pub(in crate::a2a) struct Event {
    /// What is told; nothing where too much is unread already.
    pub told: Option<Arc<Unread>>,
    /// Nothing follows.
    pub is_last: bool,
}

/// What is told, on the scales until everybody who follows has read it or has left.
#[derive(Debug)]
pub(in crate::a2a) struct Unread {
    /// A payload of A2A 1.0.
    pub json: String,
    _weight: Weight,
}

/// The way to those who follow a task.
#[derive(Debug)]
pub(super) struct Channel {
    events: broadcast::Sender<Event>,
    unread: Scales,
}

impl Channel {
    pub(super) const fn new(events: broadcast::Sender<Event>, unread: Scales) -> Self {
        Self { events, unread }
    }

    fn tell(&self, payload: &Payload, is_last: bool) {
        if self.events.receiver_count() == 0 {
            return;
        }
        if let Ok(json) = serde_json::to_string(payload) {
            let weight = self.unread.weigh(json.len());
            let told = weight.map(|_weight| Arc::new(Unread { json, _weight }));
            // Nobody follows: the task is there to be read.
            let _nobody = self.events.send(Event { told, is_last });
        }
    }
}

/// One task.
#[derive(Debug)]
pub(super) struct Entry {
    task: Task,
    cancel: CancellationToken,
    /// None once it has ended: its followers read what is left, and then the end.
    channel: Option<Channel>,
    /// Of the message that began it; none where it turned out that nothing began.
    digest: Option<Digest>,
    change: u64,
    /// Bytes of what does not change, and of all.
    fixed: usize,
    bytes: usize,
}

impl Entry {
    pub(super) fn new(
        task: Task,
        cancel: CancellationToken,
        channel: Channel,
        digest: Digest,
        change: u64,
    ) -> Self {
        let history = task.history.iter().map(|message| message.to_string().len());
        let mut entry = Self {
            fixed: OVERHEAD + history.sum::<usize>(),
            task,
            cancel,
            channel: Some(channel),
            digest: Some(digest),
            change,
            bytes: 0,
        };
        entry.touch(change);
        entry
    }

    pub(super) const fn task(&self) -> &Task {
        &self.task
    }

    pub(super) const fn state(&self) -> State {
        self.task.status.state
    }

    /// Whether a message with this digest began it.
    pub(super) fn is_of(&self, digest: &Digest) -> bool {
        self.digest.as_ref() == Some(digest)
    }

    /// The number of its newest change.
    pub(super) const fn change(&self) -> u64 {
        self.change
    }

    /// What it takes, about.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn canceller(&self) -> CancellationToken {
        self.cancel.clone()
    }

    pub(super) fn follow(&self) -> Result<Followed, State> {
        match &self.channel {
            Some(channel) => Ok(Followed {
                task: self.task.clone(),
                events: channel.events.subscribe(),
            }),
            None => Err(self.state()),
        }
    }

    /// It changed.
    pub(super) fn touch(&mut self, change: u64) {
        self.change = change;
        let said = self.task.status.message.iter().flat_map(|one| &one.parts);
        let made = self.task.artifacts.iter().flat_map(|one| &one.parts);
        let texts: usize = made.chain(said).map(|part| part.text.len()).sum();
        self.bytes = self.fixed + texts;
    }

    pub(super) fn working(&mut self, note: Option<String>) {
        let message = note.map(|note| self.say(&note));
        self.status(State::Working, message, Map::new());
    }

    pub(super) fn told(&mut self, text: String) {
        let append = !self.task.artifacts.is_empty();
        if text.is_empty() || self.answer().len() + text.len() > KEPT {
            return;
        }
        match self
            .task
            .artifacts
            .first_mut()
            .and_then(|one| one.parts.first_mut())
        {
            Some(part) => part.text.push_str(&text),
            None => self.task.artifacts.push(Artifact::of(text.clone())),
        }
        self.artifact(text, append, false);
    }

    /// The last chunk is what was not told yet; where something else was told, it is
    /// the whole answer, instead of that.
    pub(super) fn completed(&mut self, answer: &Answer) {
        let told = self.answer();
        let rest = answer.text.strip_prefix(told);
        let append = rest.is_some() && !self.task.artifacts.is_empty();
        let chunk = rest.unwrap_or(&answer.text).to_owned();
        let kept = cut(&answer.text, KEPT).to_owned();
        // What reads like a whole answer must be one, or say that it is not.
        let mut missing = Map::new();
        if kept.len() < answer.text.len() {
            missing.insert(ANSWER_BYTES.to_owned(), answer.text.len().into());
        }
        self.task.artifacts = vec![Artifact::of(kept)];
        self.artifact(chunk, append, true);
        let metadata = answer.metadata.clone();
        let size = Value::Object(metadata.clone()).to_string().len();
        if size <= METADATA {
            self.task.metadata.clone_from(&metadata);
            self.fixed += size;
        } else {
            missing.insert(METADATA_BYTES.to_owned(), size.into());
        }
        if !missing.is_empty() {
            self.task.metadata.insert(CUT.to_owned(), missing.into());
        }
        self.status(State::Completed, None, metadata);
    }

    pub(super) fn ended(&mut self, state: State, why: Option<&str>) {
        let message = why.map(|why| self.say(why));
        self.status(state, message, Map::new());
    }

    pub(super) fn refused(&mut self, why: &str) {
        self.digest = None;
        self.ended(State::Failed, Some(why));
    }

    /// The answer as far as it is kept.
    fn answer(&self) -> &str {
        let parts = self.task.artifacts.first().map(|one| one.parts.as_slice());
        let part = parts.and_then(<[_]>::first);
        part.map_or("", |part| part.text.as_str())
    }

    fn say(&self, words: &str) -> Message {
        Message::of_agent(&self.task.id, &self.task.context_id, cut(words, WORDS))
    }

    fn status(&mut self, state: State, message: Option<Message>, metadata: Map<String, Value>) {
        self.task.status = Status::now(state, message);
        let update = StatusUpdate {
            task_id: self.task.id.clone(),
            context_id: self.task.context_id.clone(),
            status: self.task.status.clone(),
            metadata,
        };
        self.tell(&Payload::StatusUpdate(update), state.is_terminal());
        if state.is_terminal() {
            self.channel = None;
        }
    }

    fn artifact(&self, text: String, append: bool, last_chunk: bool) {
        let update = ArtifactUpdate {
            task_id: self.task.id.clone(),
            context_id: self.task.context_id.clone(),
            artifact: Artifact::of(text),
            append,
            last_chunk,
        };
        self.tell(&Payload::ArtifactUpdate(update), false);
    }

    fn tell(&self, payload: &Payload, is_last: bool) {
        if let Some(channel) = &self.channel {
            channel.tell(payload, is_last);
        }
    }
}

/// As many bytes of a text as fit, in whole characters.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}
