//! The life of one task: a turn in a task of its own, whoever waits for it.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use serde_json::Map;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Server;
use super::body::Held;
use super::message::Incoming;
use super::store::{Followed, Shared};
use super::wire::{State, Status, Task};
use crate::executor::{Answer, Prompt, Turn, TurnError, Update, Updates};

/// Updates that are told together, at most.
const TOGETHER: usize = 64;
/// Longest note on the use of a tool, in characters.
const NOTE: usize = 300;

/// What came of a turn.
pub(super) type Outcome = Result<Answer, TurnError>;
/// Whether it was admitted: then there is a task.
pub(super) type Begun = Result<Followed, TurnError>;

/// A task that must end: also when its turn breaks off.
struct Unended<'a> {
    store: &'a Shared,
    id: &'a str,
}

impl Drop for Unended<'_> {
    fn drop(&mut self) {
        // Nothing happens to a task that has ended.
        self.store
            .ended(self.id, State::Failed, Some("the turn broke off"));
    }
}

/// Runs a turn for this message to its end.
pub(super) async fn run(
    server: Arc<Server>,
    message: Incoming,
    begun: oneshot::Sender<Begun>,
) -> Outcome {
    let digest = message.digest;
    // What it weighs is on the scales until its turn has ended.
    let (_held, (task, turn, mut updates)) = prepare(message);
    let (id, cancel) = (task.id.clone(), turn.cancel.clone());
    let mut work = pin!(server.turns.run(turn));
    // The first step admits the turn, or refuses it before there is a task.
    let first = match futures::poll!(work.as_mut()) {
        Poll::Ready(Err(refused)) if is_refusal(&refused) => {
            let _left = begun.send(Err(refused.clone()));
            return Err(refused);
        }
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    };
    let followed = server.store.begin(task, cancel, digest);
    let unended = Unended {
        store: &server.store,
        id: &id,
    };
    // Whoever has left can still read the task.
    let _left = begun.send(Ok(followed));
    server.store.working(&id, None);
    let outcome = match first {
        Some(outcome) => outcome,
        None => follow(&server, &id, work, &mut updates).await,
    };
    while !updates.is_empty() {
        tell(&server, &id, None, &mut updates);
    }
    end(&server, &id, &outcome);
    drop(unended);
    outcome
}

type Prepared = (Task, Turn, mpsc::Receiver<Update>);

fn prepare(mut message: Incoming) -> (Held, Prepared) {
    let id = Uuid::new_v4().to_string();
    let context = message.context_id.take();
    let context_id = context.unwrap_or_else(|| Uuid::new_v4().to_string());
    let kept = message.kept(&id, &context_id);
    let (sender, updates) = Updates::channel();
    let turn = Turn {
        prompt: Prompt {
            text: message.text,
            context_id: context_id.clone(),
            task_id: id.clone(),
        },
        updates: sender,
        cancel: CancellationToken::new(),
    };
    let task = Task {
        history: vec![kept],
        status: Status::now(State::Submitted, None),
        artifacts: Vec::new(),
        metadata: Map::new(),
        id,
        context_id,
    };
    (message.held, (task, turn, updates))
}

/// Nothing was tried, and there is nothing to keep.
const fn is_refusal(error: &TurnError) -> bool {
    matches!(
        error,
        TurnError::Busy(_) | TurnError::Retired(_) | TurnError::Wedged(_)
    )
}

/// Tells what the turn says of itself until it ends.
async fn follow(
    server: &Server,
    id: &str,
    mut work: Pin<&mut impl Future<Output = Outcome>>,
    updates: &mut mpsc::Receiver<Update>,
) -> Outcome {
    loop {
        tokio::select! {
            biased;
            Some(update) = updates.recv() => {
                tell(server, id, Some(update), updates);
            }
            outcome = &mut work => return outcome,
        }
    }
}

/// Tells updates that are there, from `first` on. Pieces of text that came at once are
/// one piece.
fn tell(server: &Server, id: &str, first: Option<Update>, updates: &mut mpsc::Receiver<Update>) {
    let others = std::iter::from_fn(|| updates.try_recv().ok());
    let mut text = String::new();
    for update in first.into_iter().chain(others).take(TOGETHER) {
        server.turns.vitals().moved();
        match update {
            Update::Text(piece) => text.push_str(&piece),
            Update::Tool { name, summary } => {
                server.store.told(id, std::mem::take(&mut text));
                server.store.working(id, Some(note(&name, &summary)));
            }
        }
    }
    server.store.told(id, text);
}

fn note(name: &str, summary: &str) -> String {
    let note = match summary.trim() {
        "" => name.to_owned(),
        summary => format!("{name}: {summary}"),
    };
    note.chars().take(NOTE).collect()
}

fn end(server: &Server, id: &str, outcome: &Outcome) {
    let store = &server.store;
    match outcome {
        Ok(answer) => store.completed(id, answer),
        Err(TurnError::Cancelled) => store.ended(id, State::Canceled, None),
        Err(error) if is_refusal(error) => store.refused(id, &error.to_string()),
        Err(error) => store.ended(id, State::Failed, Some(&error.to_string())),
    }
}
