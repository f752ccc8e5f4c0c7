//! How a message comes into the ledger: with its activity row, in one transaction.

use candor_kernel::{Error, Reason, WorkspaceId};
use candor_process::pool::store_error;
use candor_proto::activity::v1 as activity;
use candor_proto::relay::v1 as pb;
use prost::Message as _;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{TASK, report, retry};
use crate::app::App;
use crate::deliver::Message;
use crate::record::{self, Ending};
use crate::store::entries::{self, NewEntry};
use crate::store::outbox::{self, Kind};
use crate::store::{commit, intents, leases, within};

/// A message that an agent was too busy for.
pub(crate) struct Tried {
    /// Its intent, which the entry replaces.
    pub intent: Uuid,
    pub why: String,
    pub maybe_delivered: bool,
}

/// Accepts a message after a dial that its agent did not take.
///
/// # Errors
/// [`NotAccepted`].
pub(crate) async fn accept_tried(
    app: &App,
    message: &Message,
    row: activity::ForwardedRow,
    tried: Tried,
) -> Result<pb::Accepted, NotAccepted> {
    let entry = NewEntry {
        attempts: 1,
        maybe_delivered: tried.maybe_delivered,
        last_error: Some(tried.why.clone()),
        delay: retry::pause(1).as_secs_f64(),
        activity_id: tried.intent,
        ..entry(message)
    };
    let accepting = within(accept_in_place_of(app, &entry, row, &tried));
    let accepted = match accepting.await {
        Ok(accepted) => accepted,
        Err(error) => {
            // Whether the commit went through is known by the entry alone.
            let found = async {
                let mut connection = app.store.connection().await?;
                entries::of_activity(&mut connection, tried.intent).await
            };
            match within(found).await {
                Ok(Some(id)) => id,
                Ok(None) => return Err(NotAccepted::Surely(error)),
                Err(_) => return Err(NotAccepted::Perhaps(error)),
            }
        }
    };
    app.bell.ring();
    app.waker.accepted(message.target.id);
    Ok(waits(app, message.target.id, accepted, false).await)
}

/// Why a message that an agent was too busy for is not known to be accepted.
pub(crate) enum NotAccepted {
    /// It is not.
    Surely(Error),
    /// Postgres did not say: nothing may be told of its end.
    Perhaps(Error),
}

async fn accept_in_place_of(
    app: &App,
    entry: &NewEntry,
    row: activity::ForwardedRow,
    tried: &Tried,
) -> Result<Uuid, Error> {
    let mut tx = app.store.begin().await?;
    has_room(&mut tx, entry.workspace).await?;
    // Whoever reported it as overdue has closed its row: then the entry gets another.
    let removed = intents::remove(&mut tx, tried.intent)
        .await
        .map_err(store_error)?;
    if !removed {
        return Err(Error::new(Reason::Overloaded, "the intent is gone"));
    }
    let accepted = entries::accept(&mut tx, entry).await?;
    if accepted.is_new {
        list(&mut tx, row).await?;
    } else {
        // This attempt is told by itself.
        if tried.maybe_delivered {
            entries::may_be_delivered(&mut tx, accepted.id).await?;
        }
        let ending = Ending {
            status: "error",
            error: Some(format!(
                "{}; the message waits as {}",
                tried.why, accepted.id
            )),
            ..Ending::default()
        };
        let item = record::ended(row, ending);
        outbox::push(&mut tx, &[(Kind::Activity, item.encode_to_vec())]).await?;
    }
    commit(tx).await?;
    Ok(accepted.id)
}

/// Messages that may wait for one workspace; one more is not accepted.
const MOST_WAITING: i64 = 10_000;

async fn has_room(connection: &mut PgConnection, workspace: WorkspaceId) -> Result<(), Error> {
    if entries::depth(connection, workspace).await? < MOST_WAITING {
        return Ok(());
    }
    Err(Error::new(
        Reason::Overloaded,
        "too many messages wait for this workspace — retry later",
    )
    .with_retry_after(std::time::Duration::from_secs(30)))
}

/// Accepts a message for a workspace that fetches its messages by itself.
///
/// # Errors
/// `STORE_UNAVAILABLE`: then nothing was accepted.
pub(crate) async fn accept_polled(app: &App, message: Message) -> Result<pb::Accepted, Error> {
    if message.envelope.reads_only() {
        // There is nobody to ask.
        return Err(message.target.no_url());
    }
    let activity_id = Uuid::now_v7();
    let entry = NewEntry {
        polled: true,
        activity_id,
        ..entry(&message)
    };
    let accepting = async {
        let mut tx = app.store.begin().await?;
        has_room(&mut tx, entry.workspace).await?;
        let accepted = entries::accept(&mut tx, &entry).await?;
        if accepted.is_new {
            list(&mut tx, crate::deliver::row(activity_id, &message)).await?;
        }
        commit(tx).await?;
        Ok(accepted.id)
    };
    let accepted = within(accepting).await?;
    app.bell.ring();
    Ok(waits(app, message.target.id, accepted, true).await)
}

/// Accepts the task of a delegation in the caller's transaction.
///
/// # Errors
/// `OVERLOADED`, `STORE_UNAVAILABLE`.
pub(crate) async fn accept_task(
    connection: &mut PgConnection,
    entry: &NewEntry,
) -> Result<(), Error> {
    has_room(connection, entry.workspace).await?;
    entries::accept(connection, entry).await?;
    if entry.polled {
        // It must be there to be fetched.
        report::list(connection, &[entry.id]).await?;
    }
    Ok(())
}

/// Puts an entry in front of the worker at once; one that was given up gets a new row.
///
/// # Errors
/// `QUEUE_ENTRY_NOT_FOUND`, `QUEUE_ENTRY_SETTLED`, `STORE_UNAVAILABLE`.
pub(crate) async fn requeue(app: &App, id: Uuid) -> Result<entries::Entry, Error> {
    let mut tx = app.store.begin().await?;
    entries::lock(&mut tx, id).await?;
    let before = entries::get(&mut tx, id).await?.ok_or_else(not_found)?;
    if !leases::retry(&mut tx, id).await? {
        return Err(Error::new(
            Reason::QueueEntrySettled,
            format!("the message is {}, or waits as another entry", before.state),
        )
        .with_fact("state", before.state));
    }
    if before.settled_at.is_some() {
        let again = Uuid::now_v7();
        let entry = entries::renew_row(&mut tx, id, again).await?;
        list(&mut tx, report::row(&entry, None)?).await?;
    }
    let entry = entries::get(&mut tx, id).await?.ok_or_else(not_found)?;
    commit(tx).await?;
    app.bell.ring();
    app.waker
        .accepted(WorkspaceId::from_uuid(entry.workspace_id));
    Ok(entry)
}

pub(crate) fn not_found() -> Error {
    Error::new(
        Reason::QueueEntryNotFound,
        "no accepted message has this id",
    )
}

/// What the caller of an accepted message is told.
pub(crate) async fn waits(
    app: &App,
    workspace: WorkspaceId,
    entry: Uuid,
    polls: bool,
) -> pb::Accepted {
    let depth = async {
        let mut connection = app.store.connection().await?;
        entries::depth(&mut connection, workspace).await
    };
    // It is accepted, whatever else goes wrong.
    let depth = within(depth).await.unwrap_or(1);
    pb::Accepted {
        queue_id: entry.to_string(),
        queue_depth: i32::try_from(depth).unwrap_or(i32::MAX),
        polls,
    }
}

fn entry(message: &Message) -> NewEntry {
    NewEntry {
        id: Uuid::new_v4(),
        workspace: message.target.id,
        caller: record::sender(&message.caller),
        source: record::source(&message.caller).encode_to_vec(),
        message_id: message.envelope.message_id.clone(),
        method: message.envelope.method.clone(),
        priority: TASK,
        body: message.envelope.body.to_vec(),
        a2a_version: message.a2a_version.clone(),
        polled: false,
        attempts: 0,
        maybe_delivered: false,
        last_error: None,
        delay: 0.0,
        activity_id: Uuid::nil(),
        delegation_id: message.envelope.delegation_id.clone(),
        listed: true,
    }
}

/// Lists the row of a message that waits (deviation D33).
async fn list(connection: &mut PgConnection, row: activity::ForwardedRow) -> Result<(), Error> {
    let item = record::ended(row, Ending::queued());
    outbox::push(connection, &[(Kind::Activity, item.encode_to_vec())]).await
}
