//! A message that is sent while its caller waits.

use candor_kernel::{Caller, Error, Reason};
use candor_proto::activity::v1 as activity;
use candor_proto::relay::v1 as pb;
use prost::Message as _;
use uuid::Uuid;

use super::attempt::{Attempt, Letter, attempt};
use super::clock::Clock;
use super::end::Sent;
use super::{Message, Out, Reply, stream};
use crate::app::{App, MOST_TO_ONE};
use crate::door::Strict;
use crate::follow::Watch;
use crate::journal::Begun;
use crate::ledger;
use crate::record;
use crate::store::intents::NewIntent;

/// Writes the intent down, dials, and says how it ended.
pub(crate) async fn send(app: &App, message: Message, out: &Out) -> Result<Reply, Error> {
    let watch = app.progressing.watch(message.target.id);
    has_room(&watch)?;
    let idle = message.target.idle_timeout;
    let idle = idle.unwrap_or(app.config.idle_timeout);
    let mut clock = Clock::start(idle, message.limit, watch);
    may_try(app, &message, &clock)?;
    let sent = match begin(app, &message, &clock).await? {
        Begin::Sent(sent) => *sent,
        Begin::Waits(accepted) => return Ok(Reply::Accepted(accepted)),
    };
    let Some(dialled) = dial(app, &message, &mut clock, out).await else {
        return Err(sent.abandoned().await);
    };
    app.health
        .dialled(app, &message.target, &clock, &dialled)
        .await;
    match dialled {
        Attempt::Answered(head, body) => {
            app.waker.answered(message.target.id);
            sent.answered(&message, head, body).await
        }
        Attempt::Streams(head, body) => stream::pump(sent, &message, head, body, clock, out).await,
        Attempt::NotReached(error) => sent.not_reached(&message, error).await,
        Attempt::Closed(error) => {
            let why = error.to_string();
            sent.busy(&message, &why, error.was_written()).await
        }
        Attempt::Expired(expired, true) => sent.unanswered(&message, &expired.text()).await,
        Attempt::Expired(expired, false) => sent.busy(&message, &expired.text(), false).await,
        Attempt::Lost(head, why) => sent.lost(&message, &head, &why).await,
        Attempt::TooLarge(head) => sent.too_large(&message, &head).await,
    }
}

/// A slow workspace leaves room for calls to the others.
fn has_room(watch: &Watch) -> Result<(), Error> {
    if watch.calls() <= MOST_TO_ONE {
        return Ok(());
    }
    Err(Error::new(
        Reason::Overloaded,
        "too many calls to this workspace at a time — retry shortly",
    )
    .with_retry_after(std::time::Duration::from_secs(1)))
}

/// An agent that was observed not to answer is tried now and then, rather by a call
/// that has the time to tell something.
fn may_try(app: &App, message: &Message, clock: &Clock) -> Result<(), Error> {
    if !message.target.unresponsive {
        return Ok(());
    }
    let id = message.target.id;
    let tells = clock.patience() >= app.config.unresponsive_min_deadline;
    if (tells || app.health.is_long_untried(id)) && app.health.may_try(id) {
        return Ok(());
    }
    Err(message.target.does_not_answer())
}

/// Dials once; none if the call only reads and its caller went away.
async fn dial(app: &App, message: &Message, clock: &mut Clock, out: &Out) -> Option<Attempt> {
    let letter = Letter {
        url: message.target.url.clone(),
        body: match &message.strict {
            Some(strict) => strict.letter(),
            None => message.envelope.body.clone(),
        },
        attempt: 1,
        a2a_version: message.a2a_version.clone(),
        a2a_extensions: message.a2a_extensions.clone(),
        streams: message.strict.as_ref().is_none_or(Strict::is_streaming),
    };
    let dial = attempt(app, letter, clock);
    if !message.envelope.reads_only() {
        return Some(dial.await);
    }
    tokio::select! {
        attempt = dial => Some(attempt),
        () = out.closed() => None,
    }
}

enum Begin<'a> {
    Sent(Box<Sent<'a>>),
    /// The same message waits in the ledger.
    Waits(pb::Accepted),
}

async fn begin<'a>(app: &'a App, message: &Message, clock: &Clock) -> Result<Begin<'a>, Error> {
    let id = Uuid::now_v7();
    let row = row(id, message);
    let intent = NewIntent {
        id,
        activity: row.encode_to_vec(),
        deadline_seconds: clock.ceiling().as_secs_f64(),
        workspace: message.target.id.as_uuid(),
        caller: record::sender(&message.caller),
        message_id: message
            .envelope
            .message_id
            .clone()
            .filter(|_| !message.envelope.reads_only()),
    };
    match app.journal.begin(intent).await? {
        Begun::Durable => Ok(Begin::Sent(Box::new(Sent::new(app, id, row)))),
        Begun::Waits(entry) => {
            let waits = ledger::waits(app, message.target.id, entry, false).await;
            Ok(Begin::Waits(waits))
        }
    }
}

/// The row of a message before anything is known of its end.
pub(crate) fn row(id: Uuid, message: &Message) -> activity::ForwardedRow {
    record::message_row(
        id,
        message.target.id,
        &message.target.name,
        record::source(&message.caller),
        &message.envelope.method,
        message.envelope.body.clone(),
        message.traceparent.clone(),
    )
}

/// True if people should be shown the answer at once.
pub(super) fn is_person(caller: &Caller) -> bool {
    matches!(caller, Caller::User { .. })
}

/// The answer while an agent is busy (contract/a2a.md, "Dispatch failure
/// classification").
pub(super) fn busy(native_session: bool) -> Error {
    let retry = std::time::Duration::from_secs(30);
    if native_session {
        let text = "workspace agent busy — adapter handles retry (native_session)";
        return Error::new(Reason::AgentBusy, text)
            .with_fact("native_session", "true")
            .with_retry_after(retry);
    }
    Error::new(
        Reason::AgentBusy,
        "workspace agent busy — retry after a short backoff",
    )
    .with_retry_after(retry)
}
