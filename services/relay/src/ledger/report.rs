//! What became of accepted messages, told to everybody who must know: in the same
//! transaction as the fact.

use bytes::Bytes;
use candor_kernel::{Error, WorkspaceId};
use candor_proto::activity::v1 as activity;
use prost::Message as _;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::app::App;
use crate::delegations;
use crate::deliver::attempt::Head;
use crate::deliver::reply;
use crate::record::{self, Ending};
use crate::store::entries::{self, Settled};
use crate::store::leases::Leased;
use crate::store::outbox::{self, Kind};
use crate::store::{commit, intents, within};
use crate::target::Target;

/// Entries of one transaction.
const PAGE: i64 = 100;

/// The row of an entry before anything is known of its end.
///
/// # Errors
/// `INTERNAL` for a source that cannot be read.
pub(super) fn row(entry: &Settled, name: Option<&str>) -> Result<activity::ForwardedRow, Error> {
    let source = activity::Source::decode(entry.source.as_slice()).map_err(Error::internal)?;
    let target = WorkspaceId::from_uuid(entry.workspace_id);
    let id = target.to_string();
    Ok(record::message_row(
        entry.activity_id,
        target,
        name.unwrap_or(&id),
        source,
        &entry.method,
        Bytes::from(entry.body.clone()),
        String::new(),
    ))
}

/// The end of an entry's row.
fn end(
    entry: &Settled,
    name: Option<&str>,
    ending: Ending,
) -> Result<activity::ForwardItem, Error> {
    Ok(match entry.listed {
        true => record::outcome(entry.activity_id, ending),
        false => record::ended(row(entry, name)?, ending),
    })
}

/// The agent has it.
///
/// # Errors
/// `STORE_UNAVAILABLE`: then it is sent again.
pub(super) async fn delivered(
    app: &App,
    message: &Leased,
    target: &Target,
    ending: Ending,
    answer: Option<(&Head, &Bytes)>,
) -> Result<(), Error> {
    let mut tx = app.store.begin().await?;
    let error = ending.error.clone();
    let settled = entries::settle(
        &mut tx,
        message.id,
        Some(app.me),
        "delivered",
        error.as_deref(),
    );
    let Some(entry) = settled.await? else {
        return Ok(());
    };
    let mut parcels = Vec::new();
    if let (Some((head, body)), true) = (answer, entry.caller == "user") {
        let shown = reply::shown(entry.activity_id, target.id, &entry.method, head, body);
        parcels.push((Kind::Transient, shown.encode_to_vec()));
    }
    let row = end(&entry, Some(&target.name), ending)?;
    parcels.push((Kind::Activity, row.encode_to_vec()));
    outbox::push(&mut tx, &parcels).await?;
    if let Some((source, id)) = delegation_of(&entry) {
        let result = match answer {
            Some((_, body)) => delegations::result_of(body),
            None => Err(error.unwrap_or_else(|| "the answer was lost".to_owned())),
        };
        delegations::settle(&mut tx, source, &id, result).await?;
    }
    commit(tx).await?;
    metrics::counter!("candor_relay_entries_total", "outcome" => "delivered").increment(1);
    app.bell.ring();
    count_usage(app, target.id, answer).await;
    Ok(())
}

/// Tokens of an answer to an accepted message, counted as those of other answers.
async fn count_usage(app: &App, target: WorkspaceId, answer: Option<(&Head, &Bytes)>) {
    let used = answer.and_then(|(_, body)| reply::usage(target, body));
    let Some(usage) = used else {
        return;
    };
    let counted = async {
        let mut connection = app.store.connection().await?;
        intents::count(&mut connection, usage)
            .await
            .map_err(candor_process::pool::store_error)
    };
    if let Err(error) = counted.await {
        tracing::warn!(internal = error.internal_text(), "tokens were not counted");
    }
}

/// The agent will never take it.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub(super) async fn failed(
    app: &App,
    message: &Leased,
    ending: Ending,
    body: Option<&Bytes>,
) -> Result<(), Error> {
    let mut tx = app.store.begin().await?;
    let error = ending.error.clone().unwrap_or_default();
    let settled = entries::settle(&mut tx, message.id, Some(app.me), "failed", Some(&error));
    let Some(entry) = settled.await? else {
        return Ok(());
    };
    let told = body.map_or_else(
        || delegations::unreached(&error),
        |body| delegations::refusal_of(body, &error),
    );
    let row = end(&entry, None, ending)?;
    close(&mut tx, &entry, row, told).await?;
    commit(tx).await?;
    metrics::counter!("candor_relay_entries_total", "outcome" => "failed").increment(1);
    app.bell.ring();
    Ok(())
}

/// Closes the row of an entry, and the delegation behind it, as failed.
async fn close(
    connection: &mut PgConnection,
    entry: &Settled,
    row: activity::ForwardItem,
    error: String,
) -> Result<(), Error> {
    outbox::push(connection, &[(Kind::Activity, row.encode_to_vec())]).await?;
    if let Some((source, id)) = delegation_of(entry) {
        delegations::settle(connection, source, &id, Err(error)).await?;
    }
    Ok(())
}

/// The delegation behind a workspace's message.
fn delegation_of(entry: &Settled) -> Option<(WorkspaceId, String)> {
    let source = entry.caller.parse().ok()?;
    Some((source, entry.delegation_id.clone()?))
}

/// Tells that the task of a delegation is on its way, the first time.
pub(super) async fn dispatched(app: &App, message: &Leased) {
    step(
        app,
        message,
        "dispatched",
        message.is_task() && message.attempts == 1,
    )
    .await;
}

/// Tells that a message waits for its agent, the first time.
pub(super) async fn waits(app: &App, message: &Leased) {
    step(app, message, "queued", message.is_task() && !message.listed).await;
}

async fn step(app: &App, message: &Leased, status: &str, wanted: bool) {
    let Some(source) = message.caller.parse().ok().filter(|_| wanted) else {
        return;
    };
    let id = message.delegation_id.clone().unwrap_or_default();
    let told = async {
        let mut tx = app.store.begin().await?;
        delegations::step(&mut tx, source, &id, message.workspace_id, status).await?;
        if status == "queued" && entries::list_row(&mut tx, message.id).await? {
            let entry = settled(message);
            let queued = record::ended(row(&entry, None)?, Ending::queued());
            outbox::push(&mut tx, &[(Kind::Activity, queued.encode_to_vec())]).await?;
        }
        commit(tx).await
    };
    if let Err(error) = within(told).await {
        let error: Error = error;
        tracing::warn!(
            internal = error.internal_text(),
            "a step of a delegation was not told"
        );
    }
    app.bell.ring();
}

/// Lists the rows of entries that are not in the activity log yet.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub(super) async fn list(connection: &mut PgConnection, ids: &[Uuid]) -> Result<(), Error> {
    for id in ids {
        if let Some(entry) = entries::unlisted(connection, *id).await? {
            let queued = record::ended(row(&entry, None)?, Ending::queued());
            outbox::push(connection, &[(Kind::Activity, queued.encode_to_vec())]).await?;
        }
    }
    Ok(())
}

fn settled(message: &Leased) -> Settled {
    Settled {
        workspace_id: message.workspace_id,
        caller: message.caller.clone(),
        source: message.source.clone(),
        method: message.method.clone(),
        body: message.body.clone(),
        activity_id: message.activity_id,
        delegation_id: message.delegation_id.clone(),
        listed: message.listed,
    }
}

/// Reports what waited for too long.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub(crate) async fn expire(app: &App) -> Result<(), Error> {
    let why = ("expired", "expired: it waited for too long");
    // What is more than that is for the next look.
    for _ in 0..10 {
        if within(settle_page(app, Which::Expired, why)).await? == 0 {
            break;
        }
    }
    Ok(())
}

/// Gives up what waits longer than so many seconds; how many.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub(crate) async fn report_dropped(
    app: &App,
    workspace: Option<WorkspaceId>,
    older_than: f64,
    why: &str,
) -> Result<i64, Error> {
    let mut count = 0;
    loop {
        let page = settle_page(app, Which::Stale(workspace, older_than), ("dropped", why)).await?;
        if page == 0 {
            return Ok(count);
        }
        count += i64::try_from(page).unwrap_or_default();
    }
}

/// Gives one up; false if it is on its way, or settled.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub(crate) async fn drop_one(app: &App, id: Uuid, why: &str) -> Result<bool, Error> {
    let mut tx = app.store.begin().await?;
    let Some(entry) = entries::settle(&mut tx, id, None, "dropped", Some(why)).await? else {
        return Ok(false);
    };
    let ending = Ending {
        status: "error",
        error: Some(why.to_owned()),
        ..Ending::default()
    };
    let row = end(&entry, None, ending)?;
    close(&mut tx, &entry, row, why.to_owned()).await?;
    commit(tx).await?;
    metrics::counter!("candor_relay_entries_total", "outcome" => "dropped").increment(1);
    app.bell.ring();
    Ok(true)
}

/// The workspace is gone: what waits for it is reported, a page at a time; true if
/// there may be more.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub(super) async fn fail_page(app: &App, workspace: WorkspaceId, why: &str) -> Result<bool, Error> {
    let page = settle_page(app, Which::Stale(Some(workspace), 0.0), ("failed", why)).await?;
    Ok(page > 0)
}

/// Which entries are settled.
#[derive(Clone, Copy)]
enum Which {
    Expired,
    /// Of a workspace or of all, older than so many seconds.
    Stale(Option<WorkspaceId>, f64),
}

/// Settles a page of entries that nobody is sending; how many.
async fn settle_page(
    app: &App,
    which: Which,
    (state, why): (&'static str, &str),
) -> Result<usize, Error> {
    let mut tx = app.store.begin().await?;
    let ids = match which {
        Which::Expired => entries::expired(&mut tx, PAGE).await?,
        Which::Stale(workspace, age) => entries::stale(&mut tx, workspace, age, PAGE).await?,
    };
    if ids.is_empty() {
        return Ok(0);
    }
    let page = entries::settle_all(&mut tx, &ids, state, why).await?;
    for entry in &page {
        let ending = Ending {
            status: "error",
            error: Some(why.to_owned()),
            ..Ending::default()
        };
        let row = end(entry, None, ending)?;
        // Nobody watches a workspace that is gone.
        let row = match state {
            "failed" => record::silent(row),
            _ => row,
        };
        close(&mut tx, entry, row, why.to_owned()).await?;
    }
    commit(tx).await?;
    metrics::counter!("candor_relay_entries_total", "outcome" => state)
        .increment(u64::try_from(page.len()).unwrap_or_default());
    app.bell.ring();
    Ok(ids.len())
}

/// A workspace fetched its messages.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub(crate) async fn polled(
    app: &App,
    workspace: WorkspaceId,
    activities: &[Uuid],
) -> Result<(), Error> {
    let mut tx = app.store.begin().await?;
    for entry in entries::settle_polled(&mut tx, workspace, activities).await? {
        let ending = Ending {
            status: "ok",
            ..Ending::default()
        };
        let row = end(&entry, None, ending)?;
        outbox::push(&mut tx, &[(Kind::Activity, row.encode_to_vec())]).await?;
        if let Some((source, id)) = delegation_of(&entry) {
            let text = "fetched by the workspace, which answers by itself".to_owned();
            delegations::settle(&mut tx, source, &id, Ok(text)).await?;
        }
    }
    commit(tx).await?;
    app.bell.ring();
    Ok(())
}
