//! The body of a request: read whole, within bounds of bytes and time, and weighed
//! until it was sent.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use candor_process::scales::{Scales, Weight};
use futures::StreamExt as _;
use http::StatusCode;

use super::fault::Fault;
use super::forward::BUSY;

/// Bytes of all bodies that are here at a time.
pub(super) const ALL: usize = 64 * 1024 * 1024;
/// Largest body of a request, in bytes.
const MOST: usize = 10 * 1024 * 1024;
/// Longest time for it to come.
const WITHIN: Duration = Duration::from_secs(60);

/// A body on the scales, which it leaves with the last that holds a part of it.
struct Weighed {
    read: BytesMut,
    _weight: Weight,
}

impl AsRef<[u8]> for Weighed {
    fn as_ref(&self) -> &[u8] {
        &self.read
    }
}

/// Reads it. It is on the scales until it is dropped: by whoever refuses it, or by the
/// connection that has written it.
pub(super) async fn read(body: Body, scales: &Scales) -> Result<Bytes, Fault> {
    let read = tokio::time::timeout(WITHIN, collect(body, scales)).await;
    let late = || {
        let text = "the request's body did not come in time".to_owned();
        Fault::body(StatusCode::REQUEST_TIMEOUT, text)
    };
    read.unwrap_or_else(|_| Err(late()))
}

async fn collect(body: Body, scales: &Scales) -> Result<Bytes, Fault> {
    let mut chunks = body.into_data_stream();
    let mut read = BytesMut::new();
    let mut weight: Option<Weight> = None;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| {
            let text = "the request's body broke off".to_owned();
            Fault::body(StatusCode::BAD_REQUEST, text)
        })?;
        if read.len() + chunk.len() > MOST {
            let text = format!("the request's body is larger than {MOST} bytes");
            return Err(Fault::body(StatusCode::PAYLOAD_TOO_LARGE, text));
        }
        // One weight that grows: there may be a chunk for each byte.
        let bears = match &mut weight {
            Some(weight) => weight.add(chunk.len()),
            None => {
                weight = scales.weigh(chunk.len());
                weight.is_some()
            }
        };
        if !bears {
            return Err(Fault::full(BUSY));
        }
        read.extend_from_slice(&chunk);
    }
    Ok(match weight {
        None => Bytes::new(),
        Some(weight) => Bytes::from_owner(Weighed {
            read,
            _weight: weight,
        }),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_body_weighs_until_its_last_part_is_gone() {
        let scales = Scales::new(64);
        let read = |bytes: usize| read(Body::from(vec![7; bytes]), &scales);
        let first = read(40).await.unwrap();
        let part = first.slice(39..);
        drop(first);
        assert_eq!(scales.load(), 40);
        assert_eq!(read(25).await.unwrap_err(), Fault::full(BUSY));
        assert_eq!(read(24).await.unwrap().len(), 24);
        drop(part);
        assert_eq!(scales.load(), 0);
        assert_eq!(read(64).await.unwrap(), vec![7; 64]);
        // Nothing weighs nothing, also when the scales are full.
        let _all = read(64).await.unwrap();
        assert!(read(0).await.unwrap().is_empty());
    }
}
