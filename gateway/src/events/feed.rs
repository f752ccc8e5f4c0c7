//! One follower's view of the log: each stored event once, in order, from where
//! it wants to begin.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use candor_kernel::{Error, Reason};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::Hub;
use super::hub::{Signal, watch};
use crate::legacy::frame::Frame;

/// Longest wait for the hub to follow the log.
const CONNECTED: Duration = Duration::from_secs(5);
/// Longest wait for a page of what was missed.
const PAGE_WITHIN: Duration = Duration::from_secs(5);
/// Events of a page, at most.
const PAGE: usize = 256;
/// Bytes of payload after which a page ends.
const PAGE_BYTES: usize = 1024 * 1024;

/// Why a follower is cut; each means: come again, and resume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It reads too slowly.
    Slow,
    /// The log cannot be followed now, or could not for a moment.
    Interrupted,
    /// The process ends.
    Stopping,
    /// Its credential was revoked.
    Revoked,
    /// What it wants to resume from is gone.
    Expired,
}

impl Cut {
    /// For people and metrics.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Slow => "slow client: resume with since_seq",
            Self::Interrupted => "event log interrupted: resume with since_seq",
            Self::Stopping => "shutting down: resume with since_seq",
            Self::Revoked => "the credential is not valid any more",
            Self::Expired => "cursor expired",
        }
    }

    /// The label of its counter.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Interrupted => "interrupted",
            Self::Stopping => "stopping",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

impl From<Cut> for Error {
    /// Who cannot begin to follow may come again.
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::Expired => Self::new(Reason::CursorExpired, cut.reason()),
            _ => Self::new(Reason::PeerUnavailable, cut.reason())
                .with_retry_after(Duration::from_secs(1)),
        }
    }
}

/// A follower.
pub(crate) struct Feed {
    hub: Arc<Hub>,
    news: broadcast::Receiver<Signal>,
    heartbeats: broadcast::Receiver<Arc<Frame>>,
    /// A page of what it missed. It is read from the registry at once, whatever
    /// the follower's pace: a stream that is left unread would use up the window
    /// of the connection that everybody shares.
    backlog: VecDeque<Arc<Frame>>,
    /// Where the hub was when it began; up to there it reads pages.
    target: i64,
    /// The last stored event it got.
    last: i64,
}

impl Feed {
    /// Follows from now on, or from the event after `since`.
    ///
    /// # Errors
    /// [`Cut::Interrupted`] while the log cannot be followed.
    pub async fn begin(hub: Arc<Hub>, since: Option<i64>) -> Result<Self, Cut> {
        // Subscribed before the position is read: nothing falls between the two.
        let news = hub.news.subscribe();
        let heartbeats = hub.heartbeats.subscribe();
        let mut position = hub.position.subscribe();
        let known = tokio::time::timeout(CONNECTED, position.wait_for(Option::is_some)).await;
        let Ok(Ok(Some(position))) = known.map(|known| known.map(|position| *position)) else {
            return Err(Cut::Interrupted);
        };
        let last = match since {
            // Who is ahead of the log has another log's number.
            Some(since) if since > 0 => since.min(position),
            // 0 is the beginning of what there is; without a number, what was
            // committed before is not what comes.
            asked => {
                let (newest, pruned_to) = hub.ends().await.map_err(|_| Cut::Interrupted)?;
                asked.map_or(newest, |_| pruned_to.min(position))
            }
        };
        let mut feed = Self {
            hub,
            news,
            heartbeats,
            backlog: VecDeque::new(),
            target: position,
            last,
        };
        if feed.last < feed.target {
            // Who cannot resume hears it before anything is promised.
            feed.read_page().await?;
        }
        Ok(feed)
    }

    /// The next event. Dropping the future loses none.
    ///
    /// # Errors
    /// [`Cut`]: the follower must be told, and ended.
    pub async fn next(&mut self) -> Result<Arc<Frame>, Cut> {
        if self.last < self.target && self.backlog.is_empty() {
            let stop = self.hub.stop.clone();
            stop.run_until_cancelled(self.read_page())
                .await
                .unwrap_or(Err(Cut::Stopping))?;
        }
        if let Some(frame) = self.backlog.pop_front() {
            self.last = frame.seq.unwrap_or(self.last);
            return Ok(frame);
        }
        loop {
            tokio::select! {
                signal = self.news.recv() => match signal {
                    Ok(Signal::Event(frame)) => match frame.seq {
                        Some(seq) if seq <= self.last => {}
                        Some(seq) => {
                            self.last = seq;
                            return Ok(frame);
                        }
                        None => return Ok(frame),
                    },
                    Ok(Signal::Interrupted) => return Err(Cut::Interrupted),
                    Err(RecvError::Lagged(_)) => return Err(Cut::Slow),
                    Err(RecvError::Closed) => return Err(Cut::Stopping),
                },
                heartbeat = self.heartbeats.recv() => match heartbeat {
                    Ok(frame) => return Ok(frame),
                    // Heartbeats are dropped first; the next one says the same.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Err(Cut::Stopping),
                },
                () = self.hub.stop.cancelled() => return Err(Cut::Stopping),
            }
        }
    }

    /// Reads the next page of what was missed: at least one event.
    async fn read_page(&mut self) -> Result<(), Cut> {
        let reading = async {
            let watched = watch(&self.hub.registry, self.last, false).await;
            let mut events = watched.map_err(|error| match error.reason() {
                Reason::CursorExpired => Cut::Expired,
                _ => Cut::Interrupted,
            })?;
            let (mut newest, mut bytes) = (self.last, 0);
            while newest < self.target && self.backlog.len() < PAGE && bytes < PAGE_BYTES {
                let Ok(Some(event)) = events.message().await else {
                    return Err(Cut::Interrupted);
                };
                newest = event.seq;
                bytes += event.payload.len();
                self.backlog.push_back(Arc::new(Frame::of(event)));
            }
            Ok(())
        };
        tokio::time::timeout(PAGE_WITHIN, reading)
            .await
            .unwrap_or(Err(Cut::Interrupted))
    }
}
