//! How far a dial came, seen from outside while it runs.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// How far one dial came. The caller keeps a clone, drops the future of the dial
/// when its own deadline passes, and still knows what may have happened. One
/// `Progress` belongs to one dial.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Marks>);

#[derive(Debug, Default)]
struct Marks {
    flushed: AtomicBool,
    received: AtomicU64,
}

impl Progress {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the kernel has taken a byte of the request: the agent may act on it.
    #[must_use]
    pub fn flushed(&self) -> bool {
        self.0.flushed.load(Ordering::Acquire)
    }

    /// Whether a byte of the answer has come.
    #[must_use]
    pub fn response_begun(&self) -> bool {
        self.received() > 0
    }

    /// Bytes of the answer that have come, head included.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.0.received.load(Ordering::Acquire)
    }

    fn mark_flushed(&self) {
        self.0.flushed.store(true, Ordering::Release);
    }

    fn mark_received(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.0.received.fetch_add(bytes, Ordering::AcqRel);
    }
}

/// The connection to an agent.
#[derive(Debug)]
pub(crate) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection that notes what passes.
#[derive(Debug)]
pub(crate) struct Watched {
    transport: Transport,
    progress: Progress,
    /// Writing failed after bytes were written: the rest goes nowhere.
    deaf: bool,
}

impl Watched {
    pub(crate) fn new(transport: Transport, progress: Progress) -> Self {
        Self {
            transport,
            progress,
            deaf: false,
        }
    }

    /// Notes what a write came to. Once bytes are out, an agent that stops
    /// listening may have answered before: what it sent, or the end of the
    /// connection, decides, so the rest of the request counts as written.
    fn wrote(
        &mut self,
        outcome: Poll<io::Result<usize>>,
        offered: usize,
    ) -> Poll<io::Result<usize>> {
        let encrypted = matches!(self.transport, Transport::Tls(_));
        match outcome {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(written)) => {
                if written > 0 {
                    self.progress.mark_flushed();
                }
                Poll::Ready(Ok(written))
            }
            Poll::Ready(Err(error)) => {
                // TLS writes records: one may be out when the next one fails.
                if encrypted {
                    self.progress.mark_flushed();
                }
                if self.progress.flushed() {
                    self.deaf = true;
                    return Poll::Ready(Ok(offered));
                }
                Poll::Ready(Err(error))
            }
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        };
        self.progress.mark_received(buffer.filled().len() - before);
        outcome
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Ready(Ok(data.len()));
        }
        let outcome = match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write(cx, data),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, data),
        };
        self.wrote(outcome, data.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let offered = parts.iter().map(|part| part.len()).sum();
        if self.deaf {
            return Poll::Ready(Ok(offered));
        }
        let outcome = match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        };
        self.wrote(outcome, offered)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.deaf {
            return Poll::Ready(Ok(()));
        }
        let outcome = match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        self.wrote(outcome.map_ok(|()| 0), 0).map_ok(|_| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_write_that_fails_after_others_leaves_the_answer_readable() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let progress = Progress::new();
        let stream = TcpStream::connect(address).await.unwrap();
        let mut watched = Watched::new(Transport::Plain(stream), progress.clone());
        let (mut agent, _) = listener.accept().await.unwrap();
        assert!(!progress.flushed());
        watched.write_all(b"request").await.unwrap();
        assert!(progress.flushed() && !progress.response_begun());
        agent.readable().await.unwrap();
        agent.write_all(b"no").await.unwrap();
        // With unread bytes: the connection is reset.
        drop(agent);

        let until_deaf = async {
            while !watched.deaf {
                watched.write_all(b"more").await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), until_deaf)
            .await
            .unwrap();
        let mut answer = [0; 2];
        watched.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"no");
        assert_eq!(progress.received(), 2);
        watched
            .write_all(b"still counted as written")
            .await
            .unwrap();
        watched.flush().await.unwrap();
    }
}
