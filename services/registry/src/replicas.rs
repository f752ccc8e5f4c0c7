//! Hands events that are not stored from one registry to the others, over
//! Postgres (design: section 12). A registry that runs alone does nothing here
//! but look, every other second, whether it still does.
//!
//! Nothing depends on it but what people see at once. Whatever may have been missed
//! is told: followers are cut, and resume. Each time a registry begins to hand on it
//! says so first, since what it told before reached nobody else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use candor_events::{Envelope, Notice, Subscription};
use candor_kernel::Error;
use candor_process::pool::{PoolSettings, store_error};
use futures::FutureExt as _;
use sqlx::postgres::PgListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::app::App;
use crate::beats::TASK_UPDATED;
use crate::store::transients::{self, CHANNEL, Handed, MEMBERSHIP};

/// Between two looks for others.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Pause after Postgres did not answer.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// Longest work on one batch or one look.
const DEADLINE: Duration = Duration::from_secs(3);
/// Events of one batch, at most.
const MOST: usize = 256;
/// Bytes of payload after which a batch ends.
const MOST_BYTES: usize = 1024 * 1024;

/// Runs until stopped.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut member = Member {
        app: &app,
        me: Uuid::now_v7(),
        others: BTreeSet::new(),
        cursor: None,
        own: None,
    };
    while let Some(ended) = stop.run_until_cancelled(member.exchange()).await {
        if let Err(error) = ended {
            tracing::warn!(
                internal = error.internal_text(),
                "events that are not stored do not reach other registries, trying again"
            );
        }
        // What it told meanwhile is lost: it begins anew.
        member.own = None;
        let pause = tokio::time::sleep(RETRY_AFTER);
        if stop.run_until_cancelled(pause).await.is_none() {
            break;
        }
    }
    // The last words of this registry, if anybody is there to hear them.
    let leaving = async {
        if member.own.is_some() {
            member.hand_on(None).await?;
        }
        member.leave().await
    };
    if let Err(error) = within(leaving).await {
        tracing::debug!(%error, "left without a word to other registries");
    }
}

/// One registry among others.
struct Member<'a> {
    app: &'a App,
    me: Uuid,
    /// The others that ran when it last looked.
    others: BTreeSet<Uuid>,
    /// The last event that was read; kept while Postgres is away, so that what
    /// came meanwhile is read, or seen to be missing.
    cursor: Option<i64>,
    /// What this registry tells, while there is somebody to hand it to.
    own: Option<Subscription>,
}

/// The session ended, and with it the word that this registry runs.
fn lost() -> Error {
    Error::store_unavailable("the session of the exchange ended")
}

/// Waits for an event of this registry; for ever while it is alone.
async fn told(own: &mut Option<Subscription>) -> Option<Notice> {
    match own {
        Some(own) => own.next().await,
        None => std::future::pending().await,
    }
}

async fn within<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(DEADLINE, work)
        .await
        .unwrap_or_else(|_| Err(Error::store_unavailable("the exchange took too long")))
}

impl Member<'_> {
    /// Hands on and reads, while Postgres answers.
    async fn exchange(&mut self) -> Result<(), Error> {
        // A session of its own, which ends with this: others see by it that this
        // registry runs.
        let mut settings = PoolSettings::new("candor-exchange");
        settings.max_connections = 1;
        let options = self.app.store.pool().connect_options();
        let session = settings.open(options.as_ref().clone());
        let listening = async {
            let listener = PgListener::connect_with(&session).await;
            let mut listener = listener.map_err(store_error)?;
            listener.listen(CHANNEL).await.map_err(store_error)?;
            transients::join(&mut listener, self.me).await?;
            Ok::<_, Error>(listener)
        };
        let mut listener = within(listening).await?;
        let is_first = self.cursor.is_none();
        if is_first {
            // Before it tells that it is there: what others hand on because of it
            // comes after this.
            let position = async { transients::position(&mut *self.app.connection().await?).await };
            self.cursor = Some(within(position).await?);
        }
        within(self.look()).await?;
        if is_first && !self.others.is_empty() {
            // What they told before this nobody knows here.
            self.app.bus.gap();
        }
        within(self.tell_membership()).await?;
        // Its first tick is now: what others handed on meanwhile is read.
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                notice = told(&mut self.own) => within(self.hand_on(notice)).await?,
                word = listener.try_recv() => {
                    let word = word.map_err(store_error)?.ok_or_else(lost)?;
                    match word.payload() {
                        MEMBERSHIP => within(self.look()).await?,
                        _ => within(self.read()).await?,
                    }
                }
                _ = looks.tick() => {
                    within(self.look()).await?;
                    within(self.read()).await?;
                }
            }
        }
    }

    /// Looks for other registries.
    async fn look(&mut self) -> Result<(), Error> {
        let mut connection = self.app.connection().await?;
        let others = transients::others(&mut connection, self.me).await?;
        let others: BTreeSet<Uuid> = others.into_iter().collect();
        metrics::gauge!("candor_registry_replicas").set((others.len() + 1) as f64);
        if !self.others.is_subset(&others) {
            // Whoever is gone may have told something that it handed to nobody.
            self.app.bus.gap();
        }
        self.others = others;
        if self.others.is_empty() {
            self.own = None;
        } else if self.own.is_none() {
            let own = self.app.bus.subscribe();
            // What was told before this reached nobody else.
            transients::hand_on(&mut connection, self.me, &[None]).await?;
            self.own = Some(own);
        }
        Ok(())
    }

    async fn tell_membership(&self) -> Result<(), Error> {
        transients::tell_membership(&mut *self.app.connection().await?).await
    }

    async fn leave(&self) -> Result<(), Error> {
        let mut connection = self.app.connection().await?;
        transients::leave(&mut connection, self.me).await?;
        transients::tell_membership(&mut connection).await
    }

    fn told_already(&mut self) -> Option<Notice> {
        self.own.as_mut()?.next().now_or_never().flatten()
    }

    /// Hands an event to the others, and those that are there already.
    async fn hand_on(&mut self, first: Option<Notice>) -> Result<(), Error> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut next = first.or_else(|| self.told_already());
        while let Some(notice) = next.take() {
            match notice {
                Notice::Transient(envelope) if !envelope.foreign => {
                    bytes += envelope.payload.len();
                    batch.push(Some(envelope));
                }
                Notice::Lagged(_) => batch.push(None),
                // What others told, or did not, is theirs to hand on.
                Notice::Transient(_) | Notice::Gap | Notice::Stored(_) => {}
            }
            if batch.len() < MOST && bytes < MOST_BYTES {
                next = self.told_already();
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        let mut connection = self.app.connection().await?;
        transients::hand_on(&mut connection, self.me, &batch).await
    }

    /// Tells the followers of this registry what others handed on.
    async fn read(&mut self) -> Result<(), Error> {
        let mut connection = self.app.connection().await?;
        let newest = transients::position(&mut connection).await?;
        let mut cursor = self.cursor.unwrap_or(newest);
        if newest < cursor {
            // Another history: a standby that was behind, or a restore.
            self.app.bus.gap();
            cursor = newest;
        }
        while cursor < newest {
            let events = transients::after(&mut connection, cursor).await?;
            for event in &events {
                if event.n != cursor + 1 {
                    self.app.bus.gap();
                }
                cursor = event.n;
                self.tell(event);
            }
            if events.is_empty() {
                // They were there, and are gone: a crash, or too long ago.
                self.app.bus.gap();
                cursor = newest;
            }
            self.cursor = Some(cursor);
        }
        self.cursor = Some(cursor);
        Ok(())
    }

    fn tell(&self, event: &Handed) {
        if event.origin == self.me {
            return;
        }
        let Some(event_type) = &event.event_type else {
            return self.app.bus.gap();
        };
        if event_type == TASK_UPDATED {
            self.app
                .tasks_elsewhere
                .learn(&event.workspace_id, &event.payload);
        }
        self.app.bus.publish_transient(Envelope {
            event: event_type.clone(),
            workspace_id: event.workspace_id.clone(),
            timestamp: event.at,
            payload: event.payload.clone(),
            seq: None,
            foreign: true,
        });
    }
}
