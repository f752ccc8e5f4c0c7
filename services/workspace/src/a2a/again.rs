//! A message that is delivered again, because nobody knows what came of the first time:
//! a relay that was killed, a connection that broke. Its turn is not done twice.
//!
//! Only where the deliverer says that it is a repeat: callers by hand give each of their
//! messages the same id, and mean each of them. And only for the same message, to the
//! letter: ids are chosen by callers, and two of them choose the same one. Where the
//! first attempt was refused there is nothing to join, and this one is tried.

use std::sync::Arc;

use candor_a2a::{Error, ErrorKind};
use http::HeaderMap;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Code;

use super::digest::Digest;
use super::message::Asked;
use super::reply::{Outcome, Refusal, Told};
use super::send::words;
use super::wire::{ANSWER_BYTES, CUT, Payload, State, Task};
use super::{Server, tasks};
use crate::executor::{Answer, TurnError};

/// The number of the attempt, from 1 (design section 9).
const ATTEMPT: &str = "x-candor-attempt";

/// Whether the message may have been here before.
pub(super) fn is_repeat(headers: &HeaderMap) -> bool {
    let attempt = headers.get(ATTEMPT).and_then(|value| value.to_str().ok());
    let attempt = attempt.and_then(|text| text.parse::<u64>().ok());
    attempt.is_some_and(|attempt| attempt > 1)
}

/// What comes, or came, of the task that this message began, or the task if that is
/// enough; nothing where none is known.
pub(super) async fn outcome(server: &Arc<Server>, asked: &Asked) -> Option<Outcome> {
    let digest = asked.message.digest;
    if asked.at_once {
        let task = server.store.get(&begun_by(server, &digest)?)?;
        return Some(Told::of(&Payload::Task(task.with_history(asked.history))));
    }
    loop {
        let id = begun_by(server, &digest)?;
        match server.store.follow(&id)? {
            // And then anew: one that was refused after all began nothing.
            Ok(followed) => {
                drop(followed.task);
                tasks::ended(followed.events).await;
            }
            Err(_) => return server.store.get(&id).map(|task| told(task, asked.history)),
        }
    }
}

/// The stream of the task that this message began: of what follows, or of the task
/// alone where nothing does.
pub(super) fn stream(
    server: &Server,
    digest: &Digest,
    history: Option<usize>,
    place: OwnedSemaphorePermit,
) -> Result<Outcome, OwnedSemaphorePermit> {
    let known = begun_by(server, digest).and_then(|id| server.store.follow_or_get(&id));
    match known {
        Some((task, events)) => Ok(tasks::stream(server, task, events, history, place)),
        None => Err(place),
    }
}

fn begun_by(server: &Server, digest: &Digest) -> Option<String> {
    let id = server.store.begun_by(digest)?;
    tracing::info!(task = %id, "delivered again: the same task answers");
    Some(id)
}

fn told(task: Task, history: Option<usize>) -> Outcome {
    match task.status.state {
        State::Completed => {
            if let Some(bytes) = task.metadata.get(CUT).and_then(|cut| cut.get(ANSWER_BYTES)) {
                return Err(not_kept(&task.id, bytes).into());
            }
            let parts = task.artifacts.first().map(|made| made.parts.as_slice());
            let text = parts.and_then(<[_]>::first).map(|part| part.text.clone());
            let answer = Answer {
                text: text.unwrap_or_default(),
                metadata: task.metadata,
            };
            let message = words(&task.id, &task.context_id, answer);
            Told::of(&Payload::Message(message))
        }
        State::Failed => {
            let said = task.status.message.as_ref();
            let part = said.and_then(|message| message.parts.first());
            let why = part.map_or("the turn failed", |part| part.text.as_str());
            let error = TurnError::Failed(why.to_owned());
            Err(Refusal::of_turn(&error, Some(&task.id)))
        }
        State::Canceled => Told::of(&Payload::Task(task.with_history(history))),
        State::Submitted | State::Working => {
            Err(Error::new(ErrorKind::Internal, "the turn broke off").into())
        }
    }
}

/// Half an answer is none, and the turn is not done twice: what it did may not bear
/// that, and whoever wants it nevertheless can say so with a new message.
fn not_kept(id: &str, bytes: &Value) -> Error {
    let text = format!(
        "the turn is done, and its answer of {bytes} bytes is not kept whole; \
         its task has the beginning"
    );
    Error::platform(Code::DataLoss, "ANSWER_NOT_KEPT", text).with("task_id", id)
}
