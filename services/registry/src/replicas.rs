//! Hands events that are not stored from one registry to the others, over
//! Postgres (design: section 12). A registry that runs alone does nothing here
//! but look, every other second, whether it still does.
//!
//! Nothing depends on it but what people see at once: whoever follows a registry
//! that missed some is cut, and resumes.

use std::sync::Arc;
use std::time::Duration;

use candor_events::{Envelope, Notice, Subscription};
use candor_kernel::Error;
use candor_process::pool::store_error;
use futures::FutureExt as _;
use sqlx::postgres::PgListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::app::App;
use crate::store::transients::{self, CHANNEL, MEMBERSHIP};

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
    let me = Uuid::now_v7();
    while let Some(ended) = stop.run_until_cancelled(exchange(&app, me)).await {
        if let Err(error) = ended {
            tracing::warn!(
                internal = error.internal_text(),
                "events that are not stored do not reach other registries, trying again"
            );
        }
        // Whatever was missed meanwhile.
        app.bus.gap();
        if stop
            .run_until_cancelled(tokio::time::sleep(RETRY_AFTER))
            .await
            .is_none()
        {
            break;
        }
    }
    let leaving = async {
        let mut connection = app.connection().await?;
        transients::leave(&mut connection, me).await?;
        transients::tell_membership(&mut connection).await
    };
    if let Err(error) = within(leaving).await {
        tracing::debug!(%error, "left without a word to other registries");
    }
}

/// One registry among others, while Postgres answers.
struct Member<'a> {
    app: &'a App,
    me: Uuid,
    /// The last event that was read.
    cursor: i64,
    /// What this registry tells, while there is somebody to hand it to.
    own: Option<Subscription>,
}

async fn exchange(app: &App, me: Uuid) -> Result<(), Error> {
    let mut listener = PgListener::connect_with(app.store.pool())
        .await
        .map_err(store_error)?;
    listener.listen(CHANNEL).await.map_err(store_error)?;
    let cursor = transients::position(&mut *app.connection().await?).await?;
    let mut member = Member {
        app,
        me,
        cursor,
        own: None,
    };
    within(member.look()).await?;
    transients::tell_membership(&mut *app.connection().await?).await?;
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            notice = told(&mut member.own) => within(member.hand_on(notice)).await?,
            word = listener.recv() => match word.map_err(store_error)?.payload() {
                MEMBERSHIP => within(member.look()).await?,
                _ => within(member.read()).await?,
            },
            _ = looks.tick() => {
                within(member.look()).await?;
                within(member.read()).await?;
            }
        }
    }
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
    /// Looks for other registries.
    async fn look(&mut self) -> Result<(), Error> {
        let mut connection = self.app.connection().await?;
        let others = transients::others(&mut connection, self.me).await?;
        metrics::gauge!("candor_registry_replicas").set((others + 1) as f64);
        if others == 0 {
            self.own = None;
        } else if self.own.is_none() {
            self.own = Some(self.app.bus.subscribe());
        }
        Ok(())
    }

    /// Hands an event to the others, and those that are there already.
    async fn hand_on(&mut self, first: Option<Notice>) -> Result<(), Error> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut next = first;
        while let Some(notice) = next.take() {
            match notice {
                Notice::Transient(envelope) if !envelope.foreign => {
                    bytes += envelope.payload.len();
                    batch.push(Some(envelope));
                }
                Notice::Lagged(_) => batch.push(None),
                Notice::Transient(_) | Notice::Stored(_) => {}
            }
            if batch.len() < MOST && bytes < MOST_BYTES {
                let own = self.own.as_mut();
                next = own.and_then(|own| own.next().now_or_never()).flatten();
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
        loop {
            let events = {
                let mut connection = self.app.connection().await?;
                transients::after(&mut connection, self.cursor).await?
            };
            if events.is_empty() {
                return Ok(());
            }
            for event in events {
                if event.n != self.cursor + 1 {
                    self.app.bus.gap();
                }
                self.cursor = event.n;
                if event.origin == self.me {
                    continue;
                }
                match event.event_type {
                    None => self.app.bus.gap(),
                    Some(event_type) => {
                        self.app.bus.publish_transient(Envelope {
                            event: event_type,
                            workspace_id: event.workspace_id,
                            timestamp: event.at,
                            payload: event.payload,
                            seq: None,
                            foreign: true,
                        });
                    }
                }
            }
        }
    }
}
