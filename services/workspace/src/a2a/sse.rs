//! Streams of events: each a response of JSON-RPC under the id of the request.
//!
//! There are no events for the sake of life: bytes of a stream count as progress of
//! the agent (design section 9), and an agent that is stuck must not look alive.

use std::io;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use candor_a2a::Error;
use candor_process::scales::{Scales, Weight};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;
use tonic::Code;
use tracing::Instrument as _;

use super::reply::Asker;
use super::store::Event;

/// A stream that is about to begin.
pub(super) struct Follow {
    /// The task that it is about, by its id.
    pub task: String,
    /// The task as it is: a payload of 1.0.
    pub first: String,
    /// What follows, if anything does.
    pub events: Option<Receiver<Event>>,
    /// Its place among those that are open.
    pub place: OwnedSemaphorePermit,
    /// Where what nobody has read yet is weighed.
    pub unread: Scales,
    /// How long its reader may take to take an event.
    pub patience: Duration,
}

/// One event on its way to the reader.
struct Sent {
    bytes: Bytes,
    is_last: bool,
}

/// Bytes on the scales until the connection has written them.
struct Weighed {
    text: String,
    _weight: Weight,
}

impl AsRef<[u8]> for Weighed {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

/// One event.
pub(super) fn event(response: &str) -> String {
    format!("data: {response}\n\n")
}

/// The stream, at the pace of its reader. One that is too slow misses events, is told
/// so, and that is the end of its stream; one that reads nothing at all is left, and
/// its place is another's. The task goes on.
pub(super) fn body(follow: Follow, asker: Asker) -> Body {
    let (reader, sent) = mpsc::channel(1);
    // As many as there are places.
    tokio::spawn(tell(follow, asker, reader).in_current_span());
    let stream = futures::stream::unfold((sent, false), async |(mut sent, is_over)| {
        if is_over {
            return None;
        }
        let next = match sent.recv().await {
            Some(Sent { bytes, is_last }) => (Ok(bytes), is_last),
            // The connection breaks off: this is no end that a reader may take for one.
            None => (Err(io::Error::other("the stream broke off")), true),
        };
        Some((next.0, (sent, next.1)))
    });
    Body::from_stream(stream)
}

async fn tell(follow: Follow, asker: Asker, reader: mpsc::Sender<Sent>) {
    let Follow {
        task,
        first,
        mut events,
        place: _place,
        unread,
        patience,
    } = follow;
    let mut next = Some((asker.result(&first), events.is_none()));
    drop(first);
    loop {
        let told = match (next.take(), &mut events) {
            (Some(first), _) => Some(first),
            (None, Some(events)) => tokio::select! {
                told = following(events, &asker, &task) => told,
                () = reader.closed() => None,
            },
            (None, None) => None,
        };
        let Some((response, is_last)) = told else {
            return;
        };
        let sent = weighed(&response, is_last, &unread).unwrap_or_else(|| {
            let lost = lagged(&task, "too much is unread on all streams");
            Sent {
                bytes: event(&asker.error(&lost)).into(),
                is_last: true,
            }
        });
        drop(response);
        let is_last = sent.is_last;
        match timeout(patience, reader.send(sent)).await {
            Ok(Ok(())) if !is_last => {}
            Ok(_) => return,
            Err(_) => {
                tracing::info!(task, ?patience, "left a stream that nobody reads");
                return;
            }
        }
    }
}

fn weighed(response: &str, is_last: bool, unread: &Scales) -> Option<Sent> {
    let text = event(response);
    let weight = unread.weigh(text.len())?;
    let weighed = Weighed {
        text,
        _weight: weight,
    };
    Some(Sent {
        bytes: Bytes::from_owner(weighed),
        is_last,
    })
}

/// The next response, and whether it is the last.
async fn following(
    events: &mut Receiver<Event>,
    asker: &Asker,
    task: &str,
) -> Option<(String, bool)> {
    let lost = match events.recv().await {
        Ok(Event {
            told: Some(told),
            is_last,
        }) => return Some((asker.result(&told.json), is_last)),
        Err(RecvError::Closed) => return None,
        Ok(_) => lagged(task, "too much is unread on all streams"),
        Err(RecvError::Lagged(missed)) => {
            let text = format!("the stream was read too slowly, and {missed} events are lost");
            lagged(task, &text)
        }
    };
    Some((asker.error(&lost), true))
}

fn lagged(task: &str, why: &str) -> Error {
    let text = format!("{why}; the task can be read, or followed again");
    Error::platform(Code::ResourceExhausted, "STREAM_LAGGED", text).with("task_id", task)
}
