//! Asks the registry about workspaces: what is asked at the same time is asked
//! together. Nothing is remembered, so nothing is stale.

use std::sync::Arc;

use candor_kernel::{Error, Reason};
use candor_peers::{RegistryClient, no_answer};
use candor_proto::registry::v1 as pb;
use candor_proto::registry::v1::resolved_target::Answer;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::forward::relay;

/// Questions that may wait; one more is refused at once.
const QUEUE: usize = 4096;
/// Questions of one call.
const MOST_AT_ONCE: usize = 256;
/// Calls at a time: while they run, what is asked meanwhile is gathered.
const CALLS: usize = 2;

/// What is known of a workspace, or that there is none.
pub(crate) type Resolved = Result<pb::Target, pb::TargetNotFound>;

struct Question {
    asked: pb::ResolveTargetRequest,
    reply: oneshot::Sender<Result<Resolved, Error>>,
}

/// The way to the registry; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Resolver(mpsc::Sender<Question>);

impl Resolver {
    /// Starts the task that asks; it ends with the last clone of this.
    pub(crate) fn start(registry: RegistryClient) -> Self {
        let (queue, questions) = mpsc::channel(QUEUE);
        tokio::spawn(run(registry, questions));
        Self(queue)
    }

    /// Asks about one workspace.
    ///
    /// # Errors
    /// `OVERLOADED` at once when too many ask; the registry's own.
    pub(crate) async fn ask(&self, asked: pb::ResolveTargetRequest) -> Result<Resolved, Error> {
        let (reply, answer) = oneshot::channel();
        self.0.try_send(Question { asked, reply }).map_err(|_| {
            Error::new(
                Reason::Overloaded,
                "too many calls at a time — retry shortly",
            )
            .with_retry_after(std::time::Duration::from_secs(1))
        })?;
        answer
            .await
            .unwrap_or_else(|_| Err(no_answer("the question was dropped")))
    }
}

async fn run(registry: RegistryClient, mut questions: mpsc::Receiver<Question>) {
    let calls = Arc::new(Semaphore::new(CALLS));
    while let Ok(call) = Arc::clone(&calls).acquire_owned().await {
        let Some(first) = questions.recv().await else {
            return;
        };
        let mut batch = vec![first];
        while batch.len() < MOST_AT_ONCE
            && let Ok(next) = questions.try_recv()
        {
            batch.push(next);
        }
        let registry = registry.clone();
        tokio::spawn(async move {
            ask(&registry, batch).await;
            drop(call);
        });
    }
}

async fn ask(registry: &RegistryClient, batch: Vec<Question>) {
    let targets = batch.iter().map(|one| one.asked.clone()).collect();
    let request = pb::ResolveTargetsRequest { targets };
    let answered = registry
        .call(&relay(), request, |mut c, r| async move {
            c.resolve_targets(r).await
        })
        .await;
    let mut answers = match answered {
        Ok(answer) => answer.targets.into_iter(),
        Err(error) => {
            for question in batch {
                // Who gave up hears nothing.
                let _ = question.reply.send(Err(error.clone()));
            }
            return;
        }
    };
    for question in batch {
        let answer = match answers.next().and_then(|one| one.answer) {
            Some(Answer::Target(target)) => Ok(Ok(target)),
            Some(Answer::NotFound(not_found)) => Ok(Err(not_found)),
            None => Err(no_answer("the registry left a question out")),
        };
        let _ = question.reply.send(answer);
    }
}
