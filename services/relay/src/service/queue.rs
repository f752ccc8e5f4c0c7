//! The ledger as operators see it.

use std::sync::Arc;

use candor_identity::Call;
use candor_kernel::{Error, Reason};
use candor_peers::time::{span, timestamp};
use candor_proto::relay::v1 as pb;
use uuid::Uuid;

use super::workspace;
use crate::app::App;
use crate::ledger;
use crate::store::entries::{self, Entry};

/// Entries of one answer.
const PAGE: i32 = 100;
const MOST: i32 = 500;

pub(super) async fn list(
    app: Arc<App>,
    call: Call,
    request: pb::ListQueueRequest,
) -> Result<pb::ListQueueResponse, Error> {
    call.operator()?;
    let only = optional(&request.workspace_id)?;
    let limit = match request.limit {
        1.. => request.limit.min(MOST),
        _ => PAGE,
    };
    let mut connection = app.store.connection().await?;
    let rows = entries::list(&mut connection, only, request.all, i64::from(limit)).await?;
    Ok(pb::ListQueueResponse {
        entries: rows.into_iter().map(|row| shown(row, None)).collect(),
    })
}

pub(super) async fn get(
    app: Arc<App>,
    call: Call,
    request: pb::GetQueueEntryRequest,
) -> Result<pb::QueueEntry, Error> {
    call.operator()?;
    let id = entry_id(&request.id)?;
    let mut connection = app.store.connection().await?;
    let row = entries::get(&mut connection, id).await?;
    let row = row.ok_or_else(ledger::not_found)?;
    let body = entries::body(&mut connection, id).await?;
    Ok(shown(row, body))
}

pub(super) async fn drop_entry(
    app: Arc<App>,
    call: Call,
    request: pb::DropQueueEntryRequest,
) -> Result<pb::QueueEntry, Error> {
    call.operator()?;
    let id = entry_id(&request.id)?;
    let why = match request.reason.is_empty() {
        true => format!("dropped by {}", call.caller.describe()),
        false => format!("dropped by {}: {}", call.caller.describe(), request.reason),
    };
    candor_kernel::text::storable("reason", &why)?;
    let dropped = ledger::drop_one(&app, id, &why).await?;
    let mut connection = app.store.connection().await?;
    let row = entries::get(&mut connection, id).await?;
    let row = row.ok_or_else(ledger::not_found)?;
    if !dropped {
        return Err(Error::new(
            Reason::QueueEntrySettled,
            format!("the message is {} — nothing was dropped", row.state),
        )
        .with_fact("state", row.state));
    }
    Ok(shown(row, None))
}

pub(super) async fn retry(
    app: Arc<App>,
    call: Call,
    request: pb::RetryQueueEntryRequest,
) -> Result<pb::QueueEntry, Error> {
    call.operator()?;
    let row = ledger::requeue(&app, entry_id(&request.id)?).await?;
    Ok(shown(row, None))
}

pub(super) async fn drop_stale(
    app: Arc<App>,
    call: Call,
    request: pb::DropStaleRequest,
) -> Result<pb::DropStaleResponse, Error> {
    call.operator()?;
    let age = request
        .max_age
        .and_then(span)
        .filter(|age| !age.is_zero())
        .ok_or_else(|| Error::field("max_age", "max_age must be positive"))?;
    let only = optional(&request.workspace_id)?;
    let why = format!("dropped: it waited for more than {} s", age.as_secs());
    let dropped = ledger::report_dropped(&app, only, age.as_secs_f64(), &why).await?;
    Ok(pb::DropStaleResponse { dropped })
}

pub(super) async fn acknowledge_polled(
    app: Arc<App>,
    call: Call,
    request: pb::AcknowledgePolledRequest,
) -> Result<pb::AcknowledgePolledResponse, Error> {
    call.platform()?;
    let id = workspace(&request.workspace_id)?;
    let activities = request.activity_ids.iter().map(|id| {
        id.parse::<Uuid>()
            .map_err(|_| Error::field("activity_ids", "activity_ids must be UUIDs"))
    });
    let activities: Vec<Uuid> = activities.collect::<Result<_, _>>()?;
    ledger::polled(&app, id, &activities).await?;
    Ok(pb::AcknowledgePolledResponse {})
}

fn entry_id(id: &str) -> Result<Uuid, Error> {
    id.parse()
        .map_err(|_| Error::field("id", "id must be a UUID"))
}

fn optional(id: &str) -> Result<Option<candor_kernel::WorkspaceId>, Error> {
    match id.is_empty() {
        true => Ok(None),
        false => workspace(id).map(Some),
    }
}

fn shown(row: Entry, body: Option<Vec<u8>>) -> pb::QueueEntry {
    let state = match row.state.as_str() {
        "accepted" => pb::QueueState::Accepted,
        "leased" => pb::QueueState::Leased,
        "delivered" => pb::QueueState::Delivered,
        "failed" => pb::QueueState::Failed,
        "dropped" => pb::QueueState::Dropped,
        "expired" => pb::QueueState::Expired,
        _ => pb::QueueState::Unspecified,
    };
    pb::QueueEntry {
        id: row.id.to_string(),
        workspace_id: row.workspace_id.to_string(),
        state: state.into(),
        caller: row.caller,
        message_id: row.message_id.unwrap_or_default(),
        method: row.method,
        priority: i32::from(row.priority),
        attempts: row.attempts,
        maybe_delivered: row.maybe_delivered,
        last_error: row.last_error.unwrap_or_default(),
        accepted_at: Some(timestamp(row.accepted_at)),
        next_attempt_at: Some(timestamp(row.next_attempt_at)),
        settled_at: row.settled_at.map(timestamp),
        expires_at: Some(timestamp(row.expires_at)),
        activity_id: row.activity_id.to_string(),
        delegation_id: row.delegation_id.unwrap_or_default(),
        body: body.unwrap_or_default().into(),
    }
}
