//! Where a call's answer goes: its head once, then its body at the pace of whoever
//! reads it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use candor_a2a::jsonrpc::Id;
use futures::stream::unfold;
use http::{HeaderMap, StatusCode};
use tokio::sync::{mpsc, oneshot};

use super::fault::Fault;
use super::outcome::is_stream;

/// An answer that has begun.
#[derive(Debug)]
pub(super) struct Begun {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Pieces,
}

/// The body of an answer, as it comes.
#[derive(Debug)]
pub(super) struct Pieces {
    pieces: mpsc::Receiver<Bytes>,
    is_whole: Arc<AtomicBool>,
}

/// The answer ended before it was whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer ended before it was whole")]
pub(super) struct CutOff;

impl Pieces {
    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, CutOff>> {
        match self.pieces.recv().await {
            Some(piece) => Some(Ok(piece)),
            // Whoever ended without a word must not look like the end.
            None if self.is_whole.swap(true, Ordering::AcqRel) => None,
            None => Some(Err(CutOff)),
        }
    }

    /// As the body of a response.
    pub(super) fn into_body(self) -> Body {
        Body::from_stream(unfold(self, |mut pieces| async move {
            let piece = pieces.next().await?;
            Some((piece, pieces))
        }))
    }
}

/// What a caller waits for first.
pub(super) type Head = oneshot::Receiver<Result<Begun, Fault>>;

/// The way to a caller.
#[derive(Debug)]
pub(super) struct Out {
    id: Id<'static>,
    /// None once it was told.
    head: Option<oneshot::Sender<Result<Begun, Fault>>>,
    /// None once the caller is gone, or has missed something.
    pieces: Option<mpsc::Sender<Bytes>>,
    waiting: Option<Pieces>,
    is_whole: Arc<AtomicBool>,
    is_stream: bool,
}

impl Out {
    /// A way, and where its end is.
    pub(super) fn new(id: Id<'static>) -> (Self, Head) {
        let (head, receiver) = oneshot::channel();
        // One piece waits for its reader: the agent is read at the reader's pace.
        let (sender, pieces) = mpsc::channel(1);
        let is_whole = Arc::new(AtomicBool::new(false));
        let out = Self {
            id,
            head: Some(head),
            pieces: Some(sender),
            waiting: Some(Pieces {
                pieces,
                is_whole: Arc::clone(&is_whole),
            }),
            is_whole,
            is_stream: false,
        };
        (out, receiver)
    }

    /// Ends when the caller is gone.
    pub(super) async fn left(&mut self) {
        match (&mut self.head, &self.pieces) {
            (Some(head), _) => head.closed().await,
            (None, Some(pieces)) => pieces.closed().await,
            (None, None) => {}
        }
    }

    /// The answer begins.
    pub(super) fn begin(&mut self, status: StatusCode, headers: HeaderMap) {
        self.is_stream = is_stream(&headers);
        let (Some(head), Some(body)) = (self.head.take(), self.waiting.take()) else {
            return;
        };
        let begun = Begun {
            status,
            headers,
            body,
        };
        if head.send(Ok(begun)).is_err() {
            self.pieces = None;
        }
    }

    /// The next piece, waited for until the caller takes the one before, at most
    /// `within`: an agent with one thread must not hang on a slow reader for ever.
    pub(super) async fn piece(&mut self, piece: Bytes, within: Duration) {
        let Some(pieces) = &self.pieces else {
            return;
        };
        let taken = tokio::time::timeout(within, pieces.send(piece)).await;
        if !matches!(taken, Ok(Ok(()))) {
            self.pieces = None;
        }
    }

    /// The answer was told whole, if the caller took every piece.
    pub(super) fn finish(&mut self) {
        if self.pieces.is_some() {
            self.is_whole.store(true, Ordering::Release);
        }
        self.pieces = None;
    }

    /// There is no answer, or none to its end. A stream says so in its last event;
    /// what else began is cut off.
    pub(super) fn fail(&mut self, fault: Fault) {
        if let Some(head) = self.head.take() {
            // Nobody waits for it any more.
            let _gone = head.send(Err(fault));
        } else if self.is_stream
            && let Some(pieces) = &self.pieces
            && pieces.try_send(fault.event(&self.id).into()).is_ok()
        {
            return self.finish();
        }
        self.pieces = None;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SOON: Duration = Duration::from_secs(10);
    const PIECE: Bytes = Bytes::from_static(b"piece");

    async fn begun() -> (Out, Pieces) {
        let (mut out, head) = Out::new(Id::NULL);
        out.begin(StatusCode::OK, HeaderMap::new());
        let begun = head.await.unwrap().unwrap();
        (out, begun.body)
    }

    #[tokio::test]
    async fn only_who_finished_ends_an_answer() {
        let (mut out, mut pieces) = begun().await;
        out.piece(PIECE, SOON).await;
        out.finish();
        assert_eq!(pieces.next().await, Some(Ok(PIECE)));
        assert_eq!(pieces.next().await, None);

        let (mut out, mut pieces) = begun().await;
        out.piece(PIECE, SOON).await;
        drop(out);
        assert_eq!(pieces.next().await, Some(Ok(PIECE)));
        assert_eq!(pieces.next().await, Some(Err(CutOff)));
        assert_eq!(pieces.next().await, None);
    }

    #[tokio::test]
    async fn a_reader_that_is_too_slow_sees_that_it_missed_something() {
        let (mut out, mut pieces) = begun().await;
        out.piece(PIECE, SOON).await;
        out.piece(PIECE, Duration::ZERO).await;
        out.piece(PIECE, SOON).await;
        out.finish();
        assert_eq!(pieces.next().await, Some(Ok(PIECE)));
        assert_eq!(pieces.next().await, Some(Err(CutOff)));
    }

    #[tokio::test]
    async fn who_leaves_is_noticed_before_the_head_and_after() {
        let (mut out, head) = Out::new(Id::NULL);
        drop(head);
        out.left().await;
        let (mut out, pieces) = begun().await;
        drop(pieces);
        out.left().await;
        out.piece(PIECE, SOON).await;
        assert!(out.pieces.is_none());
    }
}
