//! One subscription to the registry's log, for every follower.

use std::sync::Arc;
use std::time::Duration;

use candor_kernel::{Caller, Error, Reason};
use candor_peers::RegistryClient;
use candor_process::scales::Scales;
use candor_proto::registry::v1 as pb;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

use crate::legacy::frame::Frame;

/// Events a follower may be behind; one more and it is cut, to resume from its
/// last number. The ring is shared: followers cost a pointer each.
const BEHIND: usize = 4096;
/// Bytes of events that slow followers may keep altogether, about.
const MOST_BYTES: usize = 128 * 1024 * 1024;
/// Heartbeats a follower may be behind; it misses the others.
const HEARTBEATS_BEHIND: usize = 256;
/// Pause before a lost subscription is renewed.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// What the hub says to its followers.
#[derive(Debug, Clone)]
pub(super) enum Signal {
    /// An event.
    Event(Arc<Frame>),
    /// The log could not be followed for a moment: events that are not stored
    /// may be missing.
    Interrupted,
}

/// Follows the registry's log.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(super) registry: RegistryClient,
    pub(super) news: broadcast::Sender<Signal>,
    pub(super) heartbeats: broadcast::Sender<Arc<Frame>>,
    scales: Scales,
    /// The newest stored event that was handed on; none while the log cannot be
    /// followed.
    pub(super) position: watch::Sender<Option<i64>>,
    pub(super) stop: CancellationToken,
}

impl Hub {
    /// Starts following; ends at `stop`, and so do its followers.
    #[must_use]
    pub fn start(registry: RegistryClient, stop: CancellationToken) -> Arc<Self> {
        let hub = Arc::new(Self {
            registry,
            news: broadcast::Sender::new(BEHIND),
            heartbeats: broadcast::Sender::new(HEARTBEATS_BEHIND),
            scales: Scales::new(MOST_BYTES),
            position: watch::Sender::new(None),
            stop: stop.clone(),
        });
        let following = Arc::clone(&hub);
        tokio::spawn(async move { stop.run_until_cancelled(following.run()).await });
        hub
    }

    async fn run(&self) {
        let mut cursor = None;
        loop {
            match self.follow(&mut cursor).await {
                Ok(()) => tracing::info!("the registry ended the event stream, resuming"),
                Err(error) => {
                    tracing::warn!(
                        internal = error.internal_text(),
                        "cannot follow the registry's events, retrying: {error}"
                    );
                    if error.reason() == Reason::CursorExpired {
                        // Away for longer than events are kept: from now on.
                        cursor = None;
                    }
                }
            }
            if self.position.send_replace(None).is_some() {
                // Nobody listening is no error.
                let _ = self.news.send(Signal::Interrupted);
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    /// Hands on what comes after `cursor`, until the stream ends.
    async fn follow(&self, cursor: &mut Option<i64>) -> Result<(), Error> {
        let from = match *cursor {
            Some(seq) => seq,
            None => self.ends().await?.0,
        };
        *cursor = Some(from);
        let mut events = watch(&self.registry, from, true).await?;
        self.position.send_replace(Some(from));
        while let Some(event) = events
            .message()
            .await
            .map_err(|status| candor_process::grpc::from_status(&status))?
        {
            let mut frame = Frame::of(event);
            if frame.is_heartbeat() {
                let _ = self.heartbeats.send(Arc::new(frame));
                continue;
            }
            if !frame.weigh(&self.scales) {
                // Slow followers keep more than there is room for: all are cut, and
                // read the log when they come back.
                return Err(Error::new(
                    Reason::Overloaded,
                    "slow followers keep too many bytes",
                ));
            }
            let seq = frame.seq;
            let _ = self.news.send(Signal::Event(Arc::new(frame)));
            if let Some(seq) = seq {
                *cursor = Some(seq);
                self.position.send_replace(Some(seq));
            }
        }
        Ok(())
    }

    /// The number of the newest event that is committed, and of the newest that
    /// is gone.
    pub(super) async fn ends(&self) -> Result<(i64, i64), Error> {
        let gateway = Caller::system("gateway");
        let answer = self
            .registry
            .call(
                &gateway,
                pb::GetEventCursorRequest {},
                |mut c, r| async move { c.get_event_cursor(r).await },
            )
            .await?;
        Ok((answer.last_seq, answer.pruned_to))
    }
}

/// The log from `since` on.
pub(super) async fn watch(
    registry: &RegistryClient,
    since: i64,
    include_transient: bool,
) -> Result<Streaming<pb::Event>, Error> {
    let request = pb::WatchEventsRequest {
        since_seq: Some(since),
        workspace_id: None,
        include_transient,
    };
    registry
        .call(&Caller::system("gateway"), request, |mut c, r| async move {
            c.watch_events(r).await
        })
        .await
}
