//! The event log: list, follow, append, and events that are not stored.

use std::sync::Arc;
use std::time::Duration;

use candor_events::{Envelope, Notice, Subscription};
use candor_identity::Who;
use candor_kernel::{Error, Reason, WorkspaceId};
use candor_process::grpc::to_status;
use candor_proto::registry::v1 as pb;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{Call, Reply, checks, page};
use crate::app::App;
use crate::store::Store;
use crate::store::events::{self, Appended};
use crate::store::retention;
use crate::{sequencer, wire};

/// Events listed, at most (contract/activity.md).
const MOST_LISTED: i64 = 100;
/// Events read from the table in one go.
const PAGE: i64 = 500;
/// Between two looks at a watcher's credential.
const CHECK_EVERY: Duration = Duration::from_secs(2);
/// Longest wait for a watcher to take a stored event: one that does not read at
/// all holds nothing for ever.
const READ_WITHIN: Duration = Duration::from_secs(30);
/// Longest wait for a watcher to take an event that is not stored.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);
/// Events a slow watcher may be behind in memory; the table keeps the rest.
const BUFFER: usize = 256;

pub(super) async fn list(
    app: Arc<App>,
    call: Call,
    request: pb::ListEventsRequest,
) -> Result<pb::ListEventsResponse, Error> {
    call.operator()?;
    let workspace = request
        .workspace_id
        .as_deref()
        .map(|id| wire::workspace_id("workspace_id", id))
        .transpose()?;
    let limit = match request.limit {
        limit if limit <= 0 => MOST_LISTED,
        limit => i64::from(limit).min(MOST_LISTED),
    };
    let mut connection = app.connection().await?;
    let before = page::read(&request.page_token)?;
    let rows = events::newest(&mut connection, workspace, before, limit).await?;
    let rows = rows.into_iter().map(|row| {
        let cursor = (row.created_at.unwrap_or_default(), row.id);
        Ok((cursor, wire::event(row)))
    });
    // The caller counts: it asked for so many, and asks for what is left of them.
    let (events, next_page_token) = page::cut(rows, false)?;
    Ok(pb::ListEventsResponse {
        events,
        next_page_token,
    })
}

/// Stored events from a cursor on, then live. Ends when the watcher goes, or is
/// told `STORE_UNAVAILABLE` and may resume from its last `seq`.
pub(super) async fn watch(
    app: Arc<App>,
    call: Call,
    request: pb::WatchEventsRequest,
) -> Result<Reply<pb::Event>, Error> {
    let only: Option<WorkspaceId> = request
        .workspace_id
        .as_deref()
        .map(|id| wire::workspace_id("workspace_id", id))
        .transpose()?;
    may_watch(&call, only)?;
    // Subscribed before the cursor is read: nothing falls between the two.
    let subscription = app.bus.subscribe();
    let cursor = match request.since_seq {
        // 0 is the beginning of what there is.
        Some(seq) if seq <= 0 => 0,
        Some(seq) => unexpired(&app, seq).await?,
        None => events::last_seq(&mut *app.connection().await?).await?,
    };
    let (out, stream) = mpsc::channel(BUFFER);
    let watcher = Watcher {
        app,
        call,
        only,
        cursor,
        transient: request.include_transient,
        out,
    };
    tokio::spawn(watcher.run(subscription));
    Ok(Box::pin(ReceiverStream::new(stream)))
}

/// A cursor whose next event is still there.
async fn unexpired(app: &App, seq: i64) -> Result<i64, Error> {
    let pruned_to = retention::pruned_to(&mut *app.connection().await?).await?;
    if seq < pruned_to {
        return Err(Error::new(Reason::CursorExpired, "cursor expired")
            .with_fact("pruned_to", pruned_to.to_string()));
    }
    Ok(seq)
}

fn may_watch(call: &Call, only: Option<WorkspaceId>) -> Result<(), Error> {
    match only {
        Some(id) => call.self_or_operator(id),
        None => call.operator(),
    }
}

struct Watcher {
    app: Arc<App>,
    call: Call,
    only: Option<WorkspaceId>,
    cursor: i64,
    transient: bool,
    out: mpsc::Sender<Result<pb::Event, Status>>,
}

impl Watcher {
    async fn run(mut self, mut subscription: Subscription) {
        let ended = self.follow(&mut subscription).await;
        if let Err(error) = ended {
            // It may be gone already, or not read; then the end says it.
            let last = Err(to_status(&error));
            let _ = self.out.send_timeout(last, TAKEN_WITHIN).await;
        }
    }

    async fn follow(&mut self, subscription: &mut Subscription) -> Result<(), Error> {
        let mut checks = tokio::time::interval(CHECK_EVERY);
        self.drain().await?;
        loop {
            let notice = tokio::select! {
                _ = checks.tick() => {
                    self.still_may().await?;
                    self.drain().await?;
                    continue;
                }
                notice = subscription.next() => notice,
                () = self.out.closed() => return Ok(()),
                () = self.app.stop.cancelled() => {
                    return Err(Error::new(Reason::Draining, "the registry is shutting down"));
                }
            };
            match notice {
                Some(Notice::Transient(envelope)) => self.offer(&envelope).await?,
                Some(Notice::Stored(_)) => self.drain().await?,
                Some(Notice::Lagged(_)) if self.transient => return Err(behind()),
                Some(Notice::Gap) if self.transient => return Err(missing()),
                // A gap in what is not stored is no gap in what is.
                Some(Notice::Lagged(_) | Notice::Gap) => {}
                None => return Ok(()),
            }
        }
    }

    /// A revocation ends a stream as it ends calls (design: section 3).
    async fn still_may(&mut self) -> Result<(), Error> {
        if let Some(inbound) = &self.call.inbound {
            self.call.caller = inbound
                .authenticator
                .authenticate(
                    inbound.mode,
                    &inbound.presented,
                    Who::WorkspaceOrOperator,
                    None,
                )
                .await?;
        }
        may_watch(&self.call, self.only)
    }

    /// Sends everything stored after the cursor.
    async fn drain(&mut self) -> Result<(), Error> {
        loop {
            let rows = {
                let mut connection = self.app.connection().await?;
                events::after(&mut connection, self.cursor, PAGE).await?
            };
            let full = i64::try_from(rows.len()).unwrap_or(PAGE) == PAGE;
            for row in rows {
                self.cursor = row.seq.unwrap_or(self.cursor);
                let wanted = self
                    .only
                    .is_none_or(|id| row.workspace_id == Some(id.as_uuid()));
                if wanted {
                    let event = Ok(wire::event(row));
                    match self.out.send_timeout(event, READ_WITHIN).await {
                        Ok(()) => {}
                        Err(SendTimeoutError::Closed(_)) => return Ok(()),
                        Err(SendTimeoutError::Timeout(_)) => return Err(behind()),
                    }
                }
            }
            if !full {
                return Ok(());
            }
        }
    }

    /// Offers an event that is not stored. For a watcher that does not keep up
    /// heartbeats are dropped; for others it waits, and the watch ends before one
    /// of them is dropped: by the deadline, or by the bus that cannot wait.
    async fn offer(&self, envelope: &Envelope) -> Result<(), Error> {
        let wanted = self
            .only
            .is_none_or(|id| envelope.workspace_id == id.to_string());
        if self.transient && wanted {
            let event = pb::Event {
                id: String::new(),
                event_type: envelope.event.clone(),
                workspace_id: envelope.workspace_id.clone(),
                payload: envelope.payload.clone(),
                created_at: Some(wire::timestamp(envelope.timestamp)),
                seq: 0,
                traceparent: String::new(),
            };
            if envelope.is_heartbeat() {
                if self.out.try_send(Ok(event)).is_err() {
                    metrics::counter!("candor_transient_events_dropped_total").increment(1);
                }
            } else if self
                .out
                .send_timeout(Ok(event), TAKEN_WITHIN)
                .await
                .is_err()
            {
                return Err(behind());
            }
        }
        Ok(())
    }
}

/// Another registry told something that did not arrive here.
fn missing() -> Error {
    Error::new(
        Reason::PeerUnavailable,
        "events that are not stored are missing — resume from the last seq",
    )
    .with_retry_after(Duration::from_secs(1))
}

/// A gap that a watcher cannot see is worse than an end that it can.
fn behind() -> Error {
    Error::new(
        Reason::Overloaded,
        "the watcher is too slow — resume from the last seq",
    )
    .with_retry_after(Duration::from_secs(1))
}

/// Where a watcher begins that wants nothing but what comes.
pub(super) async fn cursor(
    app: Arc<App>,
    call: Call,
    _: pb::GetEventCursorRequest,
) -> Result<pb::GetEventCursorResponse, Error> {
    call.operator()?;
    // What is committed is numbered first: it is not what comes.
    let last_seq = sequencer::draw_all(&app.store).await?;
    app.bus.advance(last_seq);
    let pruned_to = retention::pruned_to(&mut *app.connection().await?).await?;
    Ok(pb::GetEventCursorResponse {
        last_seq,
        pruned_to,
    })
}

/// Appends events of another service; each id once.
pub(super) async fn append(
    app: Arc<App>,
    call: Call,
    request: pb::AppendEventsRequest,
) -> Result<pb::AppendEventsResponse, Error> {
    call.platform()?;
    let mut tx = app.store.begin().await?;
    let mut appended = 0;
    for event in &request.events {
        checks::json("payload", &event.payload)?;
        checks::text("event_type", &event.event_type)?;
        let id = event
            .id
            .parse()
            .map_err(|_| Error::field("id", "id must be a UUID"))?;
        let created_at = event
            .created_at
            .as_ref()
            .ok_or_else(|| Error::field("created_at", "created_at is required"))?;
        let row = Appended {
            id,
            event_type: &event.event_type,
            workspace_id: wire::workspace_id("workspace_id", &event.workspace_id)?.as_uuid(),
            payload: &event.payload,
            created_at: wire::time("created_at", created_at)?,
            traceparent: Some(event.traceparent.as_str()).filter(|text| !text.is_empty()),
        };
        if events::append(&mut tx, &row).await? {
            appended += 1;
        } else if !events::is_same(&mut tx, &row).await? {
            return Err(Error::new(
                Reason::EventConflict,
                format!("event {id} exists with other contents"),
            ));
        }
    }
    Store::commit(tx).await?;
    app.events_written.notify_one();
    Ok(pb::AppendEventsResponse { appended })
}

/// Offers events to whoever watches now.
pub(super) async fn publish(
    app: Arc<App>,
    call: Call,
    request: pb::PublishTransientRequest,
) -> Result<pb::PublishTransientResponse, Error> {
    call.platform()?;
    let events: Vec<pb::Event> = request.event.into_iter().chain(request.events).collect();
    if events.is_empty() {
        return Err(Error::field("event", "event is required"));
    }
    // All or nothing.
    for event in &events {
        checks::text("event_type", &event.event_type)?;
        checks::is_json("payload", &event.payload)?;
    }
    let now = chrono::Utc::now();
    let mut receivers = 0;
    for event in events {
        if !event.id.is_empty() && !app.told.entry(event.id).or_insert(()).is_fresh() {
            continue;
        }
        receivers = app.bus.publish_transient(Envelope {
            event: event.event_type,
            workspace_id: event.workspace_id,
            timestamp: now,
            payload: event.payload,
            seq: None,
            foreign: false,
        });
    }
    Ok(pb::PublishTransientResponse {
        receivers: i32::try_from(receivers).unwrap_or(i32::MAX),
    })
}
