//! Tells other services how messages ended: the activity log what was said, the
//! registry what people should see at once and who spoke.
//!
//! The short way is by memory: an intent stays in Postgres until the activity log
//! has its row, so that a crash loses an outcome at most, never a row. What does not
//! fit, or is not told when the process ends, goes to the outbox.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use candor_kernel::{Caller, Error, Reason, WorkspaceId};
use candor_peers::{ActivityClient, RegistryClient};
use candor_process::scales::{Scales, Weight};
use candor_proto::activity::v1 as activity;
use candor_proto::registry::v1 as registry;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::journal::Journal;
use crate::store::intents::{Forgotten, Usage};
use crate::store::outbox::{self, Kind};
use crate::store::{Store, commit, intents, within};

/// Outcomes that may wait in memory.
const QUEUE: usize = 8192;
/// Bytes of outcomes that may wait in memory, about.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Outcomes of one call, at most.
pub(crate) const MOST_AT_ONCE: usize = 256;
/// Bytes of one call, about.
pub(crate) const MOST_BYTES_AT_ONCE: usize = 1536 * 1024;
/// How long a first outcome waits for others.
const LINGER: Duration = Duration::from_millis(8);
/// Pause before another try.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// How long rows or events are told one by one.
const ONE_BY_ONE: Duration = Duration::from_secs(3);
/// How long outcomes are tried before they go to the outbox.
const SPILL_AFTER: Duration = Duration::from_secs(5);

/// How a direct call ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub intent: Uuid,
    /// What people see at once; told before the row.
    pub shown: Option<registry::Event>,
    pub item: activity::ForwardItem,
    /// The workspace that was answered.
    pub outbound: Option<WorkspaceId>,
    pub usage: Option<Usage>,
}

struct Waiting {
    ended: Ended,
    weight: Weight,
}

/// The way to the task; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Forwarder {
    queue: mpsc::Sender<Waiting>,
    scales: Scales,
    store: Store,
}

impl Forwarder {
    pub(crate) fn start(
        services: Services,
        store: Store,
        journal: Journal,
        stop: CancellationToken,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let task = Task {
            services,
            store: store.clone(),
            journal,
            waiting,
            next: None,
        };
        let running = tokio::spawn(task.run(stop));
        let scales = Scales::new(MOST_BYTES);
        (
            Self {
                queue,
                scales,
                store,
            },
            running,
        )
    }

    /// Takes an outcome over; one that does not fit is written down instead.
    pub(crate) async fn tell(&self, ended: Ended) {
        let size = ended.item.encoded_len() + 1024;
        let refused = match self.scales.weigh(size) {
            None => ended,
            Some(weight) => match self.queue.try_send(Waiting { ended, weight }) {
                Ok(()) => return,
                Err(error) => error.into_inner().ended,
            },
        };
        spill(&self.store, refused).await;
    }
}

/// Writes an outcome to the outbox instead of telling it.
async fn spill(store: &Store, ended: Ended) {
    let intent = ended.intent;
    if let Err(error) = within(try_spill(store, ended)).await {
        // The intent stays, and is reported as overdue.
        tracing::warn!(
            %intent,
            internal = error.internal_text(),
            "the outcome of a message was lost, its row will say that it is unknown"
        );
    }
}

async fn try_spill(store: &Store, ended: Ended) -> Result<(), Error> {
    let mut parcels = Vec::new();
    if let Some(shown) = ended.shown {
        parcels.push((Kind::Transient, shown.encode_to_vec()));
    }
    parcels.push((Kind::Activity, ended.item.encode_to_vec()));
    let mut tx = store.begin().await?;
    let removed = intents::remove(&mut tx, ended.intent)
        .await
        .map_err(candor_process::pool::store_error)?;
    if removed {
        outbox::push(&mut tx, &parcels).await?;
    }
    commit(tx).await
}

/// Whom the relay tells.
#[derive(Debug, Clone)]
pub struct Services {
    /// Workspaces, status, events.
    pub registry: RegistryClient,
    /// Activity rows.
    pub activity: ActivityClient,
}

impl Services {
    /// Hands rows and outcomes to the activity log, in their order; those that it
    /// refuses for ever are logged and given up. Returns which need no other try.
    pub(crate) async fn forward(
        &self,
        items: Vec<activity::ForwardItem>,
    ) -> Result<Vec<bool>, Error> {
        match self.try_forward(items.clone()).await {
            Err(error) if is_refusal(&error) && items.len() > 1 => {
                // One that is refused harms no neighbour.
                let began = Instant::now();
                let mut settled = Vec::with_capacity(items.len());
                for item in items {
                    if began.elapsed() > ONE_BY_ONE {
                        break;
                    }
                    match Box::pin(self.forward(vec![item])).await {
                        Ok(one) => settled.extend(one),
                        Err(_) => break,
                    }
                }
                // The rest is for another try.
                Ok(settled)
            }
            Err(error) if is_refusal(&error) => {
                given_up("the activity log refuses a row", &error);
                Ok(vec![true; items.len()])
            }
            other => other,
        }
    }

    async fn try_forward(&self, items: Vec<activity::ForwardItem>) -> Result<Vec<bool>, Error> {
        let count = items.len();
        let request = activity::ForwardRequest { items };
        let answer = self
            .activity
            .call(
                &relay(),
                request,
                |mut c, r| async move { c.forward(r).await },
            )
            .await?;
        let settled = answer.results.iter().map(is_settled);
        let mut settled: Vec<bool> = settled.collect();
        settled.resize(count, false);
        Ok(settled)
    }

    /// Tells the registry events, in their order: stored ones, or some that are only
    /// shown. One that is refused for ever is logged and given up.
    pub(crate) async fn tell(
        &self,
        are_stored: bool,
        events: Vec<registry::Event>,
    ) -> Result<(), Error> {
        for chunk in chunks(events) {
            match self.try_tell(are_stored, chunk.clone()).await {
                Err(error) if is_refusal(&error) => {
                    for event in chunk {
                        match self.try_tell(are_stored, vec![event]).await {
                            Err(error) if is_refusal(&error) => {
                                given_up("the registry refuses an event", &error);
                            }
                            other => other?,
                        }
                    }
                }
                other => other?,
            }
        }
        Ok(())
    }

    async fn try_tell(&self, are_stored: bool, events: Vec<registry::Event>) -> Result<(), Error> {
        match are_stored {
            true => self.append(events).await,
            false => self.show(events).await,
        }
    }

    async fn show(&self, events: Vec<registry::Event>) -> Result<(), Error> {
        let request = registry::PublishTransientRequest {
            event: None,
            events,
        };
        self.registry
            .call(&relay(), request, |mut c, r| async move {
                c.publish_transient(r).await
            })
            .await?;
        Ok(())
    }

    async fn append(&self, events: Vec<registry::Event>) -> Result<(), Error> {
        let request = registry::AppendEventsRequest { events };
        self.registry
            .call(&relay(), request, |mut c, r| async move {
                c.append_events(r).await
            })
            .await?;
        Ok(())
    }

    async fn note_outbound(&self, ids: BTreeSet<WorkspaceId>) {
        if ids.is_empty() {
            return;
        }
        let request = registry::NoteOutboundRequest {
            workspace_ids: ids.iter().map(ToString::to_string).collect(),
        };
        let noted = self
            .registry
            .call(&relay(), request, |mut c, r| async move {
                c.note_outbound(r).await
            })
            .await;
        if let Err(error) = noted {
            tracing::debug!(
                internal = error.internal_text(),
                "last_outbound_at: {error}"
            );
        }
    }
}

/// An error that another try would meet again.
fn is_refusal(error: &Error) -> bool {
    use candor_kernel::ErrorKind::{Conflict, Internal, InvalidArgument};
    matches!(error.kind(), InvalidArgument | Conflict | Internal)
}

fn given_up(what: &'static str, error: &Error) {
    metrics::counter!("candor_relay_rows_refused_total").increment(1);
    tracing::error!(internal = error.internal_text(), "{what}: {error}");
}

/// Who the relay is for other services.
pub(crate) fn relay() -> Caller {
    Caller::system("relay")
}

/// True if an item needs no other try.
fn is_settled(result: &activity::RecordResult) -> bool {
    if result.error_reason.is_empty() {
        return true;
    }
    let reason = Reason::from_code(&result.error_reason);
    let again = reason.is_some_and(|reason| reason.kind() == candor_kernel::ErrorKind::Unavailable);
    if !again {
        metrics::counter!("candor_relay_rows_refused_total").increment(1);
        tracing::warn!(
            id = result.id,
            reason = result.error_reason,
            "the activity log refuses a row: {}",
            result.error_message
        );
    }
    !again
}

struct Task {
    services: Services,
    store: Store,
    journal: Journal,
    waiting: mpsc::Receiver<Waiting>,
    /// Taken from the queue, and too large for the batch before it.
    next: Option<Waiting>,
}

impl Task {
    async fn run(mut self, stop: CancellationToken) {
        loop {
            let first = match self.next.take() {
                Some(first) => Some(first),
                None => tokio::select! {
                    biased;
                    first = self.waiting.recv() => first,
                    () = stop.cancelled() => {
                        self.waiting.close();
                        self.waiting.recv().await
                    }
                },
            };
            let Some(first) = first else {
                return;
            };
            let mut batch = vec![first];
            if !stop.is_cancelled() {
                // Nobody waits for it: a few together cost one commit.
                tokio::time::sleep(LINGER).await;
            }
            self.fill(&mut batch);
            self.tell(batch, &stop).await;
        }
    }

    fn fill(&mut self, batch: &mut Vec<Waiting>) {
        let mut bytes: usize = batch.iter().map(|one| one.weight.bytes()).sum();
        while batch.len() < MOST_AT_ONCE {
            let Ok(next) = self.waiting.try_recv() else {
                return;
            };
            bytes += next.weight.bytes();
            if bytes > MOST_BYTES_AT_ONCE {
                self.next = Some(next);
                return;
            }
            batch.push(next);
        }
    }

    async fn tell(&mut self, mut batch: Vec<Waiting>, stop: &CancellationToken) {
        let began = Instant::now();
        loop {
            match self.try_tell(&mut batch).await {
                Ok(()) if batch.is_empty() => return,
                Ok(()) => {}
                Err(error) => tracing::warn!(
                    waiting = batch.len(),
                    internal = error.internal_text(),
                    "outcomes are not told yet: {error}"
                ),
            }
            // Written down, it survives a long outage of who must be told.
            if stop.is_cancelled() || began.elapsed() > SPILL_AFTER {
                for one in batch {
                    spill(&self.store, one.ended).await;
                }
                return;
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    /// Tells a batch; what must be tried again is left in it.
    async fn try_tell(&self, batch: &mut Vec<Waiting>) -> Result<(), Error> {
        let shown: Vec<_> = batch
            .iter()
            .filter_map(|one| one.ended.shown.clone())
            .collect();
        self.services.tell(false, shown).await?;
        for one in batch.iter_mut() {
            one.ended.shown = None;
        }
        let items = batch.iter().map(|one| one.ended.item.clone()).collect();
        let settled = self.services.forward(items).await?;
        let outbound = batch.iter_mut().filter_map(|one| one.ended.outbound.take());
        self.services.note_outbound(outbound.collect()).await;
        let mut forgotten = Vec::new();
        let mut settled = settled.into_iter();
        batch.retain(|one| {
            let done = settled.next().unwrap_or(false);
            if done {
                forgotten.push(Forgotten {
                    id: one.ended.intent,
                    usage: one.ended.usage,
                });
            }
            !done
        });
        self.journal.forget(forgotten).await;
        Ok(())
    }
}

/// Events of one call: at most 64, and about 256 KiB.
fn chunks(events: Vec<registry::Event>) -> Vec<Vec<registry::Event>> {
    let mut chunks: Vec<Vec<registry::Event>> = Vec::new();
    let mut bytes = 0;
    for event in events {
        let size = event.payload.len();
        match chunks.last_mut() {
            Some(last) if last.len() < 64 && bytes + size < 256 * 1024 => {
                bytes += size;
                last.push(event);
            }
            _ => {
                bytes = size;
                chunks.push(vec![event]);
            }
        }
    }
    chunks
}
