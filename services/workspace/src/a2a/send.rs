//! `SendMessage` and `SendStreamingMessage`.

use std::sync::Arc;

use candor_a2a::{Error, ErrorKind};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use super::Server;
use super::body::Held;
use super::message::{Asked, Incoming};
use super::reply::{Outcome, Refusal, Told};
use super::store::Followed;
use super::wire::{Message, Payload};
use super::{again, tasks, turn};
use crate::executor::{Answer, TurnError};

/// A task that has begun.
struct Begun {
    followed: Followed,
    outcome: JoinHandle<turn::Outcome>,
}

/// Gives the agent the message, and waits for its answer unless the task is enough.
pub(super) async fn message(
    server: &Arc<Server>,
    params: String,
    held: Held,
    is_repeat: bool,
) -> Outcome {
    let asked = Asked::read(&params, held)?;
    drop(params);
    if is_repeat && let Some(outcome) = again::outcome(server, &asked).await {
        return outcome;
    }
    let (at_once, history) = (asked.at_once, asked.history);
    let Begun { followed, outcome } = begin(server, asked.message).await?;
    if at_once {
        return Told::of(&Payload::Task(followed.task.with_history(history)));
    }
    let (id, context_id) = (followed.task.id.clone(), followed.task.context_id.clone());
    // Nobody follows: no events are written for this waiter, which keeps no task either.
    drop(followed);
    match outcome.await {
        Ok(Ok(answer)) => Told::of(&Payload::Message(words(&id, &context_id, answer))),
        Ok(Err(TurnError::Cancelled)) => {
            let task = server.store.get(&id).ok_or_else(tasks::not_found)?;
            Told::of(&Payload::Task(task.with_history(history)))
        }
        Ok(Err(error)) => Err(Refusal::of_turn(&error, Some(&id))),
        Err(_) => Err(broke_off().into()),
    }
}

/// Gives the agent the message, and streams what comes of it.
pub(super) async fn streaming(
    server: &Arc<Server>,
    params: String,
    held: Held,
    is_repeat: bool,
) -> Outcome {
    let mut place = tasks::place(server)?;
    let asked = Asked::read(&params, held)?;
    drop(params);
    let history = asked.history;
    if is_repeat {
        match again::stream(server, &asked.message.digest, history, place) {
            Ok(outcome) => return outcome,
            Err(unused) => place = unused,
        }
    }
    let Followed { task, events } = begin(server, asked.message).await?.followed;
    tasks::stream(server, task, Some(events), history, place)
}

/// The answer, as the one message that it is.
pub(super) fn words(task_id: &str, context_id: &str, answer: Answer) -> Message {
    Message {
        metadata: answer.metadata,
        ..Message::of_agent(task_id, context_id, answer.text)
    }
}

/// Begins the turn, which goes on whoever leaves.
async fn begin(server: &Arc<Server>, message: Incoming) -> Result<Begun, Refusal> {
    goes_on(server, &message)?;
    let (begun, admitted) = oneshot::channel();
    let turn = turn::run(Arc::clone(server), message, begun).in_current_span();
    // As many as are admitted: the first step of others is their last.
    let outcome = tokio::spawn(turn);
    match admitted.await {
        Ok(Ok(followed)) => Ok(Begun { followed, outcome }),
        Ok(Err(refused)) => Err(Refusal::of_turn(&refused, None)),
        Err(_) => Err(broke_off().into()),
    }
}

/// A turn is one message and its answer; what goes on is the conversation, by its
/// `contextId`. Messages to a task are refused as the protocol says.
fn goes_on(server: &Server, message: &Incoming) -> Result<(), Error> {
    let Some(id) = &message.task_id else {
        return Ok(());
    };
    let task = server.store.get(id).ok_or_else(tasks::not_found)?;
    if message
        .context_id
        .as_ref()
        .is_some_and(|context| *context != task.context_id)
    {
        let text = "params.message.contextId is not that of the task";
        return Err(Error::new(ErrorKind::InvalidParams, text));
    }
    let text = match task.status.state.is_terminal() {
        true => "the task has ended; a message without taskId goes on with its contextId",
        false => "the task is being worked on, and takes no message meanwhile",
    };
    Err(Error::new(ErrorKind::UnsupportedOperation, text))
}

fn broke_off() -> Error {
    Error::new(ErrorKind::Internal, "the turn broke off")
}
