//! GET /ws: every event for people, one's own neighbourhood for workspaces
//! (contract/activity.md, "WebSocket").

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use candor_identity::Who;
use candor_kernel::{Caller, Error, Reason, WorkspaceId};
use candor_proto::registry::v1 as pb;
use metrics::gauge;
use moka::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::events::{Cut, Feed};
use crate::legacy::App;
use crate::legacy::answer::Answer;
use crate::legacy::call::{Call, bad_request};
use crate::legacy::frame::Frame;
use crate::legacy::proof::{CHECK_EVERY, Proof};

/// Sockets of one gateway.
const MOST_SOCKETS: usize = 10_000;
/// The largest message that is read; what clients say is discarded.
const MOST_READ: usize = 64 * 1024;
/// What a socket reads into. A larger buffer is paid for by each of ten thousand
/// sockets, and cleared each time one of them is looked at.
const READ_BUFFER: usize = 4096;
/// Longest wait for a client to take a frame.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);
/// Between two pings.
const PING_EVERY: Duration = Duration::from_secs(20);
/// Silence, pongs included, after which a client is gone.
const SILENT_FOR: Duration = Duration::from_secs(60);
/// How long an answer about the hierarchy is believed.
const HIERARCHY_BELIEVED: Duration = Duration::from_secs(5);

/// What all sockets of a gateway share.
#[derive(Debug)]
pub(crate) struct Sockets {
    places: Arc<Semaphore>,
    may_see: Cache<(WorkspaceId, String), bool>,
}

impl Default for Sockets {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(MOST_SOCKETS)),
            may_see: Cache::builder()
                .max_capacity(100_000)
                .time_to_live(HIERARCHY_BELIEVED)
                .build(),
        }
    }
}

/// GET /ws?since_seq=.
pub(crate) async fn socket(app: Arc<App>, call: Call) -> Answer {
    let since = since_seq(&call)?;
    let Some(upgrade) = call.upgrade else {
        return Err(bad_request("a WebSocket handshake is required"));
    };
    let Ok(place) = Arc::clone(&app.sockets.places).try_acquire_owned() else {
        return Err(Error::new(Reason::Overloaded, "too many sockets are open")
            .with_retry_after(Duration::from_secs(5)));
    };
    // Begun before the handshake is answered: who acts on the answer sees what
    // comes of it.
    let feed = Feed::begin(Arc::clone(&app.hub), since).await?;
    let follower = Follower {
        workspace: call.caller.workspace().map(|caller| caller.id),
        proof: Proof::of(
            &app,
            &call.caller,
            &call.presented,
            call.mode,
            Who::WebSocket,
            None,
        ),
        caller: call.caller,
        app,
        _place: place,
    };
    Ok(upgrade
        .read_buffer_size(READ_BUFFER)
        .max_message_size(MOST_READ)
        .max_frame_size(MOST_READ)
        .on_upgrade(move |socket| follower.serve(socket, feed)))
}

/// The event to resume after.
pub(super) fn since_seq(call: &Call) -> Result<Option<i64>, Error> {
    call.query("since_seq")
        .map(|text| {
            text.parse::<i64>()
                .ok()
                .filter(|seq| *seq >= 0)
                .ok_or_else(|| bad_request("since_seq must be a number"))
        })
        .transpose()
}

/// One socket.
struct Follower {
    app: Arc<App>,
    caller: Caller,
    /// Set for a workspace, which sees whom it may talk to.
    workspace: Option<WorkspaceId>,
    proof: Proof,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    async fn serve(self, mut socket: WebSocket, feed: Feed) {
        let open = gauge!("molecule_websocket_connections_active");
        open.increment(1.0);
        if let Some(cut) = self.follow(&mut socket, feed).await {
            metrics::counter!("candor_sockets_cut_total", "reason" => cut.label()).increment(1);
            tracing::debug!(caller = %self.caller.describe(), reason = cut.reason(), "socket cut");
            let close = Message::Close(Some(CloseFrame {
                code: match cut {
                    Cut::Revoked | Cut::Expired => close_code::POLICY,
                    Cut::Slow => close_code::AGAIN,
                    Cut::Interrupted => close_code::RESTART,
                    Cut::Stopping => close_code::AWAY,
                },
                reason: cut.reason().into(),
            }));
            // It may be gone already; then there is nobody to tell.
            let _ = tokio::time::timeout(WRITE_DEADLINE, socket.send(close)).await;
        }
        open.decrement(1.0);
    }

    /// Sends events until the client goes (none) or is cut.
    async fn follow(&self, socket: &mut WebSocket, mut feed: Feed) -> Option<Cut> {
        let mut pings = tokio::time::interval(PING_EVERY);
        pings.tick().await;
        let mut checks = tokio::time::interval(CHECK_EVERY);
        let mut heard = Instant::now();
        loop {
            let message = tokio::select! {
                next = feed.next() => match self.admit(next).await {
                    Ok(Some(frame)) => Message::Text(frame.socket()),
                    Ok(None) => continue,
                    Err(cut) => return Some(cut),
                },
                received = socket.recv() => match received {
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                    Some(Ok(_)) => {
                        heard = Instant::now();
                        continue;
                    }
                },
                _ = checks.tick() => match self.proof.is_good().await {
                    true => continue,
                    false => return Some(Cut::Revoked),
                },
                _ = pings.tick() => {
                    if heard.elapsed() > SILENT_FOR {
                        return None;
                    }
                    Message::Ping(bytes::Bytes::new())
                }
            };
            match tokio::time::timeout(WRITE_DEADLINE, socket.send(message)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => return Some(Cut::Slow),
            }
        }
    }

    /// The event, if this follower may see it.
    async fn admit(&self, next: Result<Arc<Frame>, Cut>) -> Result<Option<Arc<Frame>>, Cut> {
        let frame = next?;
        Ok(self.may_see(&frame).await?.then_some(frame))
    }

    /// People see everything; a workspace sees events about whom it may talk to.
    /// Where that cannot be known the follower is cut: neither is the event
    /// shown, nor do later ones hide that it was not.
    async fn may_see(&self, frame: &Frame) -> Result<bool, Cut> {
        let Some(me) = self.workspace else {
            return Ok(true);
        };
        if frame.workspace_id.is_empty() {
            return Ok(false);
        }
        let key = (me, frame.workspace_id.clone());
        if let Some(known) = self.app.sockets.may_see.get(&key) {
            return Ok(known);
        }
        let request = pb::CheckAccessRequest {
            caller_id: me.to_string(),
            target_id: frame.workspace_id.clone(),
        };
        let answer = self
            .app
            .registry
            .call(&Caller::system("gateway"), request, |mut c, r| async move {
                c.check_access(r).await
            })
            .await;
        let allowed = answer.map_err(|_| Cut::Interrupted)?.allowed;
        self.app.sockets.may_see.insert(key, allowed);
        Ok(allowed)
    }
}
