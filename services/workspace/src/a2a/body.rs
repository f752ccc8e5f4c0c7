//! The body of a request: read whole, within bounds of bytes and time.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use candor_process::scales::{Scales, Weight};
use futures::StreamExt as _;

/// Largest request, in bytes.
pub(super) const MOST: usize = 10 * 1024 * 1024;
/// What of each request is not weighed, in bytes: whatever waits, a task can still be
/// read and cancelled. Connections are bounded by number.
const FREE: usize = 16 * 1024;
/// Longest time that a request may take to arrive.
const WITHIN: Duration = Duration::from_secs(30);

/// The weight of a request among all that are read or worked on, until it is dropped.
#[derive(Debug, Default)]
pub(super) struct Held {
    _weight: Option<Weight>,
}

/// Why a body is not there.
pub(super) enum NotRead {
    /// The status, and the words.
    Refused(StatusCode, String),
    /// There is no room for it now.
    NoRoom,
}

/// Reads it.
pub(super) async fn read(body: Body, scales: &Scales) -> Result<(Bytes, Held), NotRead> {
    let late = || {
        let words = format!("the request did not arrive within {WITHIN:?}");
        NotRead::Refused(StatusCode::REQUEST_TIMEOUT, words)
    };
    tokio::time::timeout(WITHIN, collect(body, scales))
        .await
        .unwrap_or_else(|_| Err(late()))
}

async fn collect(body: Body, scales: &Scales) -> Result<(Bytes, Held), NotRead> {
    let refused = |status, words| Err(NotRead::Refused(status, words));
    let mut chunks = body.into_data_stream();
    let mut read = BytesMut::new();
    let mut weight: Option<Weight> = None;
    while let Some(chunk) = chunks.next().await {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) => {
                let words = format!("the request did not arrive: {error}");
                return refused(StatusCode::BAD_REQUEST, words);
            }
        };
        let length = read.len() + chunk.len();
        if length > MOST {
            let words = format!("the request has more than {MOST} bytes");
            return refused(StatusCode::PAYLOAD_TOO_LARGE, words);
        }
        let weighed = length.saturating_sub(FREE) - read.len().saturating_sub(FREE);
        let fits = match &mut weight {
            _ if weighed == 0 => true,
            Some(weight) => weight.add(weighed),
            None => {
                weight = scales.weigh(weighed);
                weight.is_some()
            }
        };
        if !fits {
            return Err(NotRead::NoRoom);
        }
        read.extend_from_slice(&chunk);
    }
    let held = Held { _weight: weight };
    Ok((read.freeze(), held))
}
