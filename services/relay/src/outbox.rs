//! The task that empties the outbox, in its order (design: section 12). Several
//! relays take turns.

use std::sync::Arc;
use std::time::{Duration, Instant};

use candor_kernel::Error;
use candor_proto::activity::v1 as activity;
use candor_proto::registry::v1 as registry;
use prost::Message;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::forward::{MOST_AT_ONCE, MOST_BYTES_AT_ONCE, Services};
use crate::store::outbox::{self, Kind, Parcel};
use crate::store::{Store, commit};

/// Between two looks for what another relay left.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest work on one turn: a few calls of other services.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long a turn goes on telling.
const TELL_FOR: Duration = Duration::from_secs(4);

/// Tells the task that there is something.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bell(Arc<Notify>);

impl Bell {
    /// Something was added.
    pub(crate) fn ring(&self) {
        self.0.notify_one();
    }
}

/// Runs until stopped, then once more.
pub(crate) async fn run(store: Store, services: Services, bell: Bell, stop: CancellationToken) {
    loop {
        let more = match tokio::time::timeout(DEADLINE, turn(&store, &services)).await {
            Ok(Ok(more)) => more,
            Ok(Err(error)) => {
                tracing::warn!(
                    internal = error.internal_text(),
                    "what is in the outbox is not told yet: {error}"
                );
                false
            }
            Err(_) => {
                tracing::warn!("what is in the outbox is not told yet: it takes too long");
                false
            }
        };
        if more && !stop.is_cancelled() {
            continue;
        }
        if stop.is_cancelled() {
            return;
        }
        tokio::select! {
            () = bell.0.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Tells what is there; true if there may be more.
async fn turn(store: &Store, services: &Services) -> Result<bool, Error> {
    let mut tx = store.begin().await?;
    if !outbox::try_lock(&mut tx).await? {
        return Ok(false);
    }
    let most = i64::try_from(MOST_AT_ONCE).unwrap_or(i64::MAX);
    let most_bytes = i64::try_from(MOST_BYTES_AT_ONCE).unwrap_or(i64::MAX);
    let parcels = outbox::oldest(&mut tx, most, most_bytes).await?;
    let (count, age) = outbox::backlog(&mut tx).await?;
    metrics::gauge!("candor_relay_outbox_rows").set(count as f64);
    metrics::gauge!("candor_relay_outbox_age_seconds").set(age);
    if parcels.is_empty() {
        return Ok(false);
    }
    let (told, ended) = tell(services, &parcels).await;
    outbox::delete(&mut tx, &told).await?;
    commit(tx).await?;
    ended?;
    Ok(told.len() == parcels.len())
}

/// Tells parcels in their order; those that were, and why it stopped.
async fn tell(services: &Services, parcels: &[Parcel]) -> (Vec<i64>, Result<(), Error>) {
    let mut told = Vec::new();
    let mut rest = parcels;
    let began = Instant::now();
    while let Some(first) = rest.first() {
        if began.elapsed() > TELL_FOR {
            // What was told is noted before more is.
            return (told, Ok(()));
        }
        let alike = rest.iter().take_while(|one| one.kind == first.kind).count();
        let (run, after) = rest.split_at(alike);
        match tell_run(services, first.kind, run).await {
            Ok(ids) => {
                let all = ids.len() == run.len();
                told.extend(ids);
                if !all {
                    return (told, Ok(()));
                }
            }
            Err(error) => return (told, Err(error)),
        }
        rest = after;
    }
    (told, Ok(()))
}

/// Tells parcels of one kind; returns those that need no other try.
async fn tell_run(services: &Services, kind: Kind, run: &[Parcel]) -> Result<Vec<i64>, Error> {
    if kind == Kind::Activity {
        let (ids, items) = decoded::<activity::ForwardItem>(run);
        let settled = services.forward(items).await?;
        let settled = ids.iter().zip(settled).filter(|(_, settled)| *settled);
        let settled: Vec<i64> = settled.map(|(id, _)| *id).collect();
        return Ok(undecodable(run, &ids).chain(settled).collect());
    }
    let (_, events) = decoded::<registry::Event>(run);
    services.tell(kind == Kind::Event, events).await?;
    Ok(run.iter().map(|one| one.id).collect())
}

fn decoded<M: Message + Default>(run: &[Parcel]) -> (Vec<i64>, Vec<M>) {
    run.iter()
        .filter_map(|one| match M::decode(one.payload.as_slice()) {
            Ok(message) => Some((one.id, message)),
            Err(error) => {
                tracing::error!(id = one.id, %error, "a row of the outbox cannot be read");
                None
            }
        })
        .unzip()
}

fn undecodable<'a>(run: &'a [Parcel], known: &'a [i64]) -> impl Iterator<Item = i64> + 'a {
    let ids = run.iter().map(|one| one.id);
    ids.filter(move |id| !known.contains(id))
}
