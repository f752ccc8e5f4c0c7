//! The body of an agent's answer, as it comes.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::Stream;
use hyper::body::{Body, Incoming};
use tokio::sync::OwnedSemaphorePermit;

use crate::exchange::{Driver, chain};

/// The body ended before it was complete, or is not what its head announced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the agent's answer ended before it was complete")]
pub struct BodyError {
    detail: String,
}

impl BodyError {
    /// What operators should see.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

/// A body that was read up to a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Collected {
    /// All of it.
    Whole(Bytes),
    /// It is larger; this is its beginning, as long as the limit.
    Larger(Bytes),
}

/// The body of an answer. It is read from the connection as it is asked for, so no
/// more than one chunk (64 KiB) waits here. The connection is closed at its end,
/// at the first error, and when this is dropped.
pub struct AgentBody {
    /// None after the end.
    open: Option<Open>,
}

struct Open {
    incoming: Incoming,
    /// None once the connection has ended; what it brought may still be unread.
    driver: Option<Pin<Box<Driver>>>,
    _room: OwnedSemaphorePermit,
}

impl AgentBody {
    pub(crate) fn new(
        incoming: Incoming,
        driver: Option<Pin<Box<Driver>>>,
        room: OwnedSemaphorePermit,
    ) -> Self {
        let open = (!incoming.is_end_stream()).then_some(Open {
            incoming,
            driver,
            _room: room,
        });
        Self { open }
    }

    /// The next bytes, as soon as there are any; `None` at the end.
    ///
    /// # Errors
    /// [`BodyError`], once; then `None`.
    pub async fn next_chunk(&mut self) -> Option<Result<Bytes, BodyError>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// Reads the body to its end, or one byte past `limit`.
    ///
    /// # Errors
    /// [`BodyError`].
    pub async fn collect(mut self, limit: usize) -> Result<Collected, BodyError> {
        let mut all = BytesMut::new();
        while let Some(chunk) = self.next_chunk().await {
            let chunk = chunk?;
            let room = limit - all.len();
            if chunk.len() > room {
                all.extend_from_slice(&chunk[..room]);
                return Ok(Collected::Larger(all.freeze()));
            }
            all.extend_from_slice(&chunk);
        }
        Ok(Collected::Whole(all.freeze()))
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            let Some(open) = &mut self.open else {
                return Poll::Ready(None);
            };
            if let Some(running) = &mut open.driver
                && running.as_mut().poll(cx).is_ready()
            {
                open.driver = None;
            }
            match std::task::ready!(Pin::new(&mut open.incoming).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(chunk) if chunk.is_empty() => {}
                    Ok(chunk) => return Poll::Ready(Some(Ok(chunk))),
                    // Trailers: nobody asked for them.
                    Err(_) => {}
                },
                Some(Err(error)) => {
                    self.open = None;
                    let detail = chain(&error);
                    return Poll::Ready(Some(Err(BodyError { detail })));
                }
                None => {
                    self.open = None;
                    return Poll::Ready(None);
                }
            }
        }
    }
}

impl Stream for AgentBody {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_chunk(cx)
    }
}

impl std::fmt::Debug for AgentBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentBody")
            .field("open", &self.open.is_some())
            .finish()
    }
}
