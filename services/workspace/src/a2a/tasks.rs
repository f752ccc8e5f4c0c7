//! The operations on tasks.

use std::sync::Arc;
use std::time::Duration;

use candor_a2a::{Error, ErrorKind};
use http::HeaderMap;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::Server;
use super::authority::may_read_all;
use super::message::history_length;
use super::reply::{Outcome, Refusal, Told};
use super::sse::Follow;
use super::store::{Event, Filter};
use super::wire::{Payload, State, Task};

/// How long whoever ends a task waits for its end.
const ENDING: Duration = Duration::from_secs(10);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Params {
    id: String,
    #[serde(default, alias = "history_length")]
    history_length: Option<i64>,
}

impl Params {
    fn read(params: &str) -> Result<Self, Error> {
        serde_json::from_str(params)
            .map_err(|error| Error::new(ErrorKind::InvalidParams, format!("params: {error}")))
    }
}

pub(super) fn not_found() -> Error {
    Error::new(ErrorKind::TaskNotFound, "no such task, or none any more")
}

/// `GetTask`. Its id, which nobody guesses (UUID version 4), is what a caller must know.
pub(super) fn get(server: &Server, params: &str) -> Outcome {
    let params = Params::read(params)?;
    let history = history_length(params.history_length)?;
    let task = server.store.get(&params.id).ok_or_else(not_found)?;
    Told::of(&task.with_history(history))
}

/// `ListTasks`: all callers' tasks, so not for each of them.
pub(super) fn list(server: &Server, params: &str, headers: &HeaderMap) -> Outcome {
    if !may_read_all(server, headers) {
        let text = "tasks are listed for whoever has this workspace's token alone \
                    (Authorization: Bearer); a task is read by its id";
        return Err(Error::new(ErrorKind::UnsupportedOperation, text).into());
    }
    Told::of(&server.store.page(&Filter::read(params)?))
}

/// `CancelTask`: ends the turn, and answers once it has ended.
pub(super) async fn cancel(server: &Server, params: &str) -> Outcome {
    let id = Params::read(params)?.id;
    let refused = || Error::new(ErrorKind::TaskNotCancelable, "the task has ended");
    let followed = server.store.follow(&id).ok_or_else(not_found)?;
    let followed = followed.map_err(|_| refused())?;
    if let Some(cancel) = server.store.canceller(&id) {
        cancel.cancel();
    }
    // A turn that takes longer is being ended, and its task says how far that is.
    let _late = tokio::time::timeout(ENDING, ended(followed.events)).await;
    let task = server.store.get(&id).unwrap_or(followed.task);
    match task.status.state {
        State::Completed | State::Failed => Err(refused().into()),
        _ => Told::of(&task),
    }
}

/// Returns when the task has ended.
pub(super) async fn ended(mut events: Receiver<Event>) {
    loop {
        match events.recv().await {
            Ok(event) if event.is_last => return,
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// `SubscribeToTask`: the task as it is, then what happens to it.
pub(super) fn subscribe(server: &Server, params: &str) -> Outcome {
    let place = place(server)?;
    let params = Params::read(params)?;
    let followed = server.store.follow(&params.id).ok_or_else(not_found)?;
    let followed = followed.map_err(|_| {
        let text = "the task has ended, and nothing follows; it can be read";
        Error::new(ErrorKind::UnsupportedOperation, text)
    })?;
    stream(server, followed.task, Some(followed.events), None, place)
}

/// A place for one more stream.
pub(super) fn place(server: &Server) -> Result<OwnedSemaphorePermit, Refusal> {
    if !server.streaming {
        let text = "this agent does not stream";
        return Err(Error::new(ErrorKind::UnsupportedOperation, text).into());
    }
    let busy = |words: &str| Refusal::later("AGENT_BUSY", words);
    // Before anything begins, not after.
    if server.unread.weigh(1).is_none() {
        return Err(busy("too much is unread on the streams that are open"));
    }
    let streams = Arc::clone(&server.streams);
    streams
        .try_acquire_owned()
        .map_err(|_| busy("too many streams are open"))
}

/// The stream of a task, and of what follows.
pub(super) fn stream(
    server: &Server,
    task: Task,
    events: Option<Receiver<Event>>,
    history: Option<usize>,
    place: OwnedSemaphorePermit,
) -> Outcome {
    let id = task.id.clone();
    let task = Payload::Task(task.with_history(history));
    let first = serde_json::to_string(&task)
        .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
    Ok(Told::Stream(Follow {
        task: id,
        first,
        events,
        place,
        unread: server.unread.clone(),
        patience: server.patience,
    }))
}
