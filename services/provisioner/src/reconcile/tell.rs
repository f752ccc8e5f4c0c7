//! What others are told of instances: the registry moves, people watch.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use candor_kernel::{Error, ErrorKind};
use candor_proto::registry::v1 as pb;
use parking_lot::Mutex;
use pb::move_workspace_request::Move;
use serde::Serialize;
use tokio::time::interval;
use uuid::Uuid;

use super::turn::{Seen, Turn};
use crate::app::App;
use crate::backend::{BackendError, Progress};
use crate::service::provisioner;
use crate::store::steps::Done;

/// How often it is looked whether a long step says something new.
const LOOK: Duration = Duration::from_secs(1);
/// Bytes of evidence that are handed on.
const MOST_EVIDENCE: usize = 2048;

/// How the registry took a move.
pub(super) enum Told {
    /// The status moved.
    Moved,
    /// It is what it was: the move came too late, or the fence is another one.
    Unchanged,
    /// The status table does not allow it.
    Refused(String),
}

/// Moves a workspace; only while the fence is `epoch`, if one is given.
pub(super) async fn registry(
    app: &App,
    id: Uuid,
    epoch: Option<i64>,
    wanted: Move,
    evidence: &str,
) -> Result<Told, Error> {
    let request = pb::MoveWorkspaceRequest {
        id: id.to_string(),
        fence_epoch: epoch,
        evidence: evidence[..evidence.floor_char_boundary(MOST_EVIDENCE)].to_owned(),
        r#move: Some(wanted),
    };
    let moved = app
        .services
        .registry
        .call(&provisioner(), request, |mut c, r| async move {
            c.move_workspace(r).await
        })
        .await;
    match moved {
        Ok(moved) if moved.rule.is_empty() => Ok(Told::Unchanged),
        Ok(_) => Ok(Told::Moved),
        Err(error) => match error.kind() {
            ErrorKind::Conflict | ErrorKind::NotFound | ErrorKind::Gone => {
                Ok(Told::Refused(error.public().to_owned()))
            }
            _ => Err(error),
        },
    }
}

/// What watchers are told of a step.
#[derive(Serialize)]
struct Shown<'a> {
    detail: &'a str,
    epoch: i64,
    outcome: &'a str,
    step: &'a str,
}

/// Tells whoever watches now; nobody depends on it.
pub(super) async fn step(app: &App, done: &Done<'_>) {
    let shown = Shown {
        detail: done.detail,
        epoch: done.epoch,
        outcome: done.outcome,
        step: done.step,
    };
    let Ok(payload) = serde_json::to_string(&shown) else {
        return;
    };
    let event = pb::Event {
        id: Uuid::now_v7().to_string(),
        event_type: "INSTANCE_STEP".to_owned(),
        workspace_id: done.id.to_string(),
        payload,
        ..pb::Event::default()
    };
    let request = pb::PublishTransientRequest {
        event: Some(event),
        events: Vec::new(),
    };
    let told = app
        .services
        .registry
        .call(&provisioner(), request, |mut c, r| async move {
            c.publish_transient(r).await
        })
        .await;
    if let Err(error) = told {
        tracing::debug!(workspace = %done.id, "nobody was told of a step: {error}");
    }
}

/// What a long step said last, until it is written down.
#[derive(Default)]
pub(super) struct Progressing(Mutex<Option<String>>);

impl Progress for Progressing {
    fn told(&self, what: fmt::Arguments<'_>) {
        *self.0.lock() = Some(what.to_string());
    }
}

impl Progressing {
    /// Does a long step, and writes down what it says on the way and how it ends.
    pub async fn follow<T>(
        &self,
        turn: &Turn<'_>,
        seen: &Seen<'_>,
        step: &'static str,
        work: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let timed = turn.timed(seen, step, work);
        tokio::pin!(timed);
        let mut look = interval(LOOK);
        loop {
            tokio::select! {
                ended = &mut timed => return ended,
                _ = look.tick() => {
                    let said = self.0.lock().take();
                    if let Some(said) = said {
                        turn.note(seen, step, "waits", &said, Duration::ZERO).await;
                    }
                    if turn.is_overtaken(seen).await {
                        let why = "something else is wanted meanwhile".to_owned();
                        return Err(BackendError::Unavailable(why));
                    }
                }
            }
        }
    }
}
