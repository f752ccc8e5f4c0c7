//! The worker: takes what is due, sends it, keeps its leases.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use candor_kernel::{Error, ErrorKind, WorkspaceId};
use futures::{StreamExt as _, stream};
use parking_lot::Mutex;
use sqlx::PgConnection;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::{deliver, report, retry};
use crate::app::App;
use crate::store::leases::{self, Leased};
use crate::store::{commit, targets, within};
use crate::target::{Admission, Target};

/// Messages on their way at a time.
const AT_ONCE: usize = 256;
/// Messages of one workspace on their way at a time, whatever it says it can do.
const MOST_PER_WORKSPACE: i32 = 64;
/// Workspaces of one look, and those that are served at a time.
const PAGE: i64 = 64;
const SERVED_AT_ONCE: usize = 8;
/// How long a message stays with a relay that says nothing more of it (visibility
/// timeout), in seconds.
const LEASE: f64 = 15.0;
/// Between two renewals.
const RENEW_EVERY: Duration = Duration::from_secs(4);
/// Longest pause between two looks; upkeep is done as often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest look.
const LOOK_DEADLINE: Duration = Duration::from_secs(15);
/// Between two looks at workspaces that fetch their messages.
const POLLED_EVERY: Duration = Duration::from_secs(15);
/// Pause after Postgres or the registry did not answer.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How long a workspace is left alone whose messages are on their way, or wait for
/// their turn; the end of one says it sooner.
const IN_TURN: Duration = Duration::from_secs(1);
/// And one with which something went wrong.
const FAILED_FOR: Duration = Duration::from_secs(2);
/// How many waiting workspaces are known by name.
const MOST_WAITING: i64 = 10_000;

/// Messages that this relay is sending.
pub(super) type Held = Arc<Mutex<HashSet<Uuid>>>;

/// Runs until stopped; what is on its way then is given some time by the drain.
pub(crate) async fn run(app: Arc<App>, tasks: TaskTracker, stop: CancellationToken) {
    let held = Held::default();
    let worker = Worker {
        places: Arc::new(Semaphore::new(AT_ONCE)),
        app: Arc::clone(&app),
        held: Arc::clone(&held),
        tasks: tasks.clone(),
        blocked: Arc::default(),
        tidied: Mutex::new(None),
        asked: Mutex::new(None),
    };
    tasks.spawn(keep_leases(app, held, stop.clone()));
    loop {
        let look = tokio::time::timeout(LOOK_DEADLINE, worker.look());
        let looked = look.await.unwrap_or_else(|_| {
            Err(Error::store_unavailable(
                "a look at the ledger took too long",
            ))
        });
        let pause = looked.unwrap_or_else(|error| {
            tracing::warn!(
                internal = error.internal_text(),
                "the ledger cannot be worked on now: {error}"
            );
            RETRY_AFTER
        });
        tokio::select! {
            () = stop.cancelled() => return,
            () = worker.app.waker.rung() => {}
            () = tokio::time::sleep(pause) => {}
        }
        if stop.is_cancelled() {
            return;
        }
    }
}

/// Workspaces that nothing can be sent to before a time.
type Blocked = Arc<Mutex<HashMap<WorkspaceId, Instant>>>;

struct Worker {
    app: Arc<App>,
    places: Arc<Semaphore>,
    held: Held,
    tasks: TaskTracker,
    blocked: Blocked,
    tidied: Mutex<Option<Instant>>,
    /// When workspaces that fetch were last asked about.
    asked: Mutex<Option<Instant>>,
}

/// A message on its way: renewed while this lives, however its task ends.
struct Holding {
    held: Held,
    blocked: Blocked,
    waker: super::Waker,
    id: Uuid,
    workspace: WorkspaceId,
}

impl Holding {
    fn of(worker: &Worker, id: Uuid, workspace: WorkspaceId) -> Self {
        worker.held.lock().insert(id);
        Self {
            held: Arc::clone(&worker.held),
            blocked: Arc::clone(&worker.blocked),
            waker: worker.app.waker.clone(),
            id,
            workspace,
        }
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.held.lock().remove(&self.id);
        self.blocked.lock().remove(&self.workspace);
        self.waker.ring();
    }
}

/// True once in so long.
fn is_time(last: &Mutex<Option<Instant>>, every: Duration) -> bool {
    let mut last = last.lock();
    let is_time = last.is_none_or(|at| at.elapsed() >= every);
    if is_time {
        *last = Some(Instant::now());
    }
    is_time
}

impl Worker {
    /// Sends what is due; returns when to look again.
    async fn look(&self) -> Result<Duration, Error> {
        let mut connection = self.app.store.connection().await?;
        if is_time(&self.tidied, LOOK_EVERY) {
            self.tidy(&mut connection).await?;
        }
        let ready: Vec<Uuid> = self
            .app
            .waker
            .take_ready()
            .into_iter()
            .map(|id| {
                self.blocked.lock().remove(&id);
                id.as_uuid()
            })
            .collect();
        if !ready.is_empty() {
            leases::hurry(&mut connection, &ready).await?;
        }
        let due = leases::due(&mut connection, &self.left_alone(), PAGE).await?;
        let full = due.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX);
        drop(connection);
        stream::iter(due)
            .map(|id| self.serve_alone(WorkspaceId::from_uuid(id)))
            .buffer_unordered(SERVED_AT_ONCE)
            .collect::<()>()
            .await;
        if self.places.available_permits() == 0 {
            return Ok(LOOK_EVERY);
        }
        if full {
            return Ok(Duration::ZERO);
        }
        let mut connection = self.app.store.connection().await?;
        let next = leases::next_due(&mut connection).await?;
        Ok(next.map_or(LOOK_EVERY, |seconds| {
            Duration::from_secs_f64(seconds.clamp(0.01, 1.0))
        }))
    }

    /// What goes wrong with one workspace keeps no other waiting.
    async fn serve_alone(&self, workspace: WorkspaceId) {
        if let Err(error) = self.serve(workspace).await {
            self.leave_alone(workspace, FAILED_FOR);
            tracing::warn!(
                %workspace,
                internal = error.internal_text(),
                "the messages of a workspace cannot be worked on now: {error}"
            );
        }
    }

    fn left_alone(&self) -> Vec<Uuid> {
        let now = Instant::now();
        let mut blocked = self.blocked.lock();
        blocked.retain(|_, until| *until > now);
        blocked.keys().map(|id| id.as_uuid()).collect()
    }

    fn leave_alone(&self, workspace: WorkspaceId, pause: Duration) {
        let until = Instant::now() + pause;
        self.blocked.lock().insert(workspace, until);
    }

    /// What is done once a second, however often something is accepted.
    async fn tidy(&self, connection: &mut PgConnection) -> Result<(), Error> {
        let held: Vec<Uuid> = self.held.lock().iter().copied().collect();
        let taken_back = leases::take_back(connection, &held).await?;
        if taken_back > 0 {
            metrics::counter!("candor_relay_leases_lost_total").increment(taken_back);
            tracing::warn!(
                messages = taken_back,
                "messages of a relay that ended wait again"
            );
        }
        report::expire(&self.app).await?;
        let waiting = leases::waiting(connection, MOST_WAITING).await?;
        metrics::gauge!("candor_relay_waiting_workspaces").set(waiting.len() as f64);
        let waiting = waiting.into_iter().map(WorkspaceId::from_uuid).collect();
        self.app.waker.set_waiting(waiting);
        if is_time(&self.asked, POLLED_EVERY) {
            for id in leases::polled(connection, PAGE).await? {
                let asked = self.ask_polled(WorkspaceId::from_uuid(id)).await;
                if let Err(error) = asked {
                    tracing::warn!(
                        workspace = %id,
                        internal = error.internal_text(),
                        "whether a workspace still fetches its messages is not known: {error}"
                    );
                }
            }
        }
        Ok(())
    }

    /// A workspace that fetches its messages may be gone, or have an address now.
    async fn ask_polled(&self, workspace: WorkspaceId) -> Result<(), Error> {
        match Target::resolve(&self.app.resolver, workspace, None).await {
            Ok(target) if target.polls => Ok(()),
            Ok(_) => {
                let mut connection = self.app.store.connection().await?;
                leases::set_polled(&mut connection, workspace, false).await?;
                Ok(())
            }
            Err(error) => self.unresolved(workspace, error).await,
        }
    }

    async fn unresolved(&self, workspace: WorkspaceId, error: Error) -> Result<(), Error> {
        if error.kind() != ErrorKind::NotFound {
            return Err(error);
        }
        report::fail_page(&self.app, workspace, error.public()).await?;
        Ok(())
    }

    /// Takes the first messages of one workspace and sends them.
    async fn serve(&self, workspace: WorkspaceId) -> Result<(), Error> {
        let target = match Target::resolve(&self.app.resolver, workspace, None).await {
            Ok(target) => target,
            Err(error) => return self.unresolved(workspace, error).await,
        };
        self.app.wakes.notice(&target);
        match target.admit() {
            Admission::Dial if target.unresponsive && !self.app.health.may_try(workspace) => {
                return self
                    .hold(workspace, target.does_not_answer().public())
                    .await;
            }
            Admission::Dial => {}
            Admission::Poll => return self.to_be_fetched(workspace).await,
            Admission::Refuse(error) => return self.hold(workspace, error.public()).await,
        }
        // Its next message is due when one that is on its way ends. Said before they are
        // counted: one that ends after that takes it back.
        self.leave_alone(workspace, IN_TURN);
        let taken = within(self.take(&target)).await?;
        if taken.is_empty() && target.unresponsive {
            self.app.health.did_not_try(workspace);
        }
        for message in taken {
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                self.give_back(message.id).await?;
                continue;
            };
            let holding = Holding::of(self, message.id, workspace);
            let (app, target) = (Arc::clone(&self.app), target.clone());
            self.tasks.spawn(async move {
                deliver::deliver(&app, message, &target).await;
                drop(place);
                drop(holding);
            });
        }
        Ok(())
    }

    /// There was no place for it after all.
    async fn give_back(&self, id: Uuid) -> Result<(), Error> {
        let mut connection = self.app.store.connection().await?;
        let how = leases::Postponed {
            id,
            owner: self.app.me,
            delay_seconds: 1.0,
            error: "too many messages are on their way",
            maybe_delivered: false,
            is_fruitless: false,
            untried: true,
        };
        leases::postpone(&mut connection, how).await
    }

    async fn take(&self, target: &Target) -> Result<Vec<Leased>, Error> {
        let room = i64::try_from(self.places.available_permits()).unwrap_or(i64::MAX);
        let at_once = match target.unresponsive {
            true => 1,
            false => i64::from(target.at_once.min(MOST_PER_WORKSPACE)),
        };
        let mut tx = self.app.store.begin().await?;
        if !targets::try_lock(&mut tx, target.id).await? {
            return Ok(Vec::new());
        }
        let at_once = at_once.min(room);
        let taken = leases::take(&mut tx, target.id, self.app.me, at_once, LEASE).await?;
        commit(tx).await?;
        Ok(taken)
    }

    /// Nothing can be sent to it now: it is left alone for a while, and its first
    /// message says why.
    async fn hold(&self, workspace: WorkspaceId, why: &str) -> Result<(), Error> {
        self.leave_alone(workspace, retry::HELD);
        let mut connection = self.app.store.connection().await?;
        leases::note(&mut connection, workspace, why).await
    }

    /// It fetches its messages from now on: those that wait are listed for it.
    async fn to_be_fetched(&self, workspace: WorkspaceId) -> Result<(), Error> {
        // A page; the rest is due again at the next look.
        let listing = within(async {
            let mut tx = self.app.store.begin().await?;
            let unlisted = leases::set_polled(&mut tx, workspace, true).await?;
            report::list(&mut tx, &unlisted).await?;
            commit(tx).await
        });
        listing.await?;
        self.app.bell.ring();
        Ok(())
    }
}

/// Renews the leases of what is on its way.
async fn keep_leases(app: Arc<App>, held: Held, stop: CancellationToken) {
    let mut last = Instant::now();
    loop {
        tokio::time::sleep(RENEW_EVERY.min(RETRY_AFTER)).await;
        let ids: Vec<Uuid> = held.lock().iter().copied().collect();
        if stop.is_cancelled() && ids.is_empty() {
            return;
        }
        if last.elapsed() < RENEW_EVERY || ids.is_empty() {
            continue;
        }
        last = Instant::now();
        let renewed = within(async {
            let mut connection = app.store.connection().await?;
            leases::renew(&mut connection, app.me, &ids, LEASE).await
        });
        if let Err(error) = renewed.await {
            tracing::warn!(
                internal = error.internal_text(),
                "leases were not renewed: messages may be sent twice"
            );
        }
    }
}
