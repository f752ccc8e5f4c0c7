//! Sockets that count what they get. Nothing is parsed: an event's number is
//! looked for in its text.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::Result;

/// Stands before an event's number.
pub const MARK: &str = "bench-event ";
/// Digits of a number.
pub const DIGITS: usize = 8;
/// Handshakes at the same time.
const AT_ONCE: usize = 16;
/// Of each socket: what is not read waits in the kernel.
const READ_BUFFER: usize = 8 * 1024;
/// One socket of so many also notes when.
const SAMPLED: usize = 10;

/// What a socket got.
#[derive(Debug, Default)]
pub struct Inbox {
    /// In the order they came.
    pub numbers: Vec<u32>,
    /// When each came; of sampled sockets only.
    pub times: Vec<Instant>,
    /// Why it got no more.
    pub ended: Option<String>,
}

/// Open sockets.
#[derive(Debug)]
pub struct Sockets {
    inboxes: Vec<Arc<Mutex<Inbox>>>,
    readers: JoinSet<()>,
}

impl Sockets {
    /// Opens so many, each to get so many events.
    pub async fn open(http: SocketAddr, count: usize, events: usize) -> Result<Self> {
        let opened: Vec<_> = stream::iter(0..count)
            .map(|_| connect(http))
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let mut sockets = Self {
            inboxes: Vec::with_capacity(count),
            readers: JoinSet::new(),
        };
        for (number, socket) in opened.into_iter().enumerate() {
            let sampled = number % SAMPLED == 0;
            let inbox = Arc::new(Mutex::new(Inbox {
                numbers: Vec::with_capacity(events),
                times: Vec::with_capacity(if sampled { events } else { 0 }),
                ended: None,
            }));
            sockets.inboxes.push(Arc::clone(&inbox));
            sockets.readers.spawn(read(socket, inbox, sampled, events));
        }
        Ok(sockets)
    }

    /// Waits until each has all its events, or is closed, or for so long.
    pub async fn wait(&mut self, patience: Duration) -> Result<()> {
        let all = async {
            while let Some(ended) = self.readers.join_next().await {
                ended?;
            }
            Ok(())
        };
        // Who waits for more is seen by what is missing.
        tokio::time::timeout(patience, all).await.unwrap_or(Ok(()))
    }

    /// What they got.
    pub fn inboxes(mut self) -> Vec<Inbox> {
        self.readers.abort_all();
        self.inboxes
            .iter()
            .map(|inbox| {
                let mut inbox = inbox.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::take(&mut *inbox)
            })
            .collect()
    }
}

async fn connect(http: SocketAddr) -> Result<WebSocketStream<TcpStream>> {
    let stream = TcpStream::connect(http).await?;
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
    let url = format!("ws://{http}/ws");
    let (socket, _) = client_async_with_config(url, stream, Some(config)).await?;
    Ok(socket)
}

/// Reads until it has as many events as are sent.
async fn read(
    mut socket: WebSocketStream<TcpStream>,
    inbox: Arc<Mutex<Inbox>>,
    sampled: bool,
    events: usize,
) {
    let ended = loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => {
                let Some(number) = number(&text) else {
                    continue;
                };
                let mut inbox = inbox.lock().unwrap_or_else(PoisonError::into_inner);
                inbox.numbers.push(number);
                if sampled {
                    inbox.times.push(Instant::now());
                }
                if inbox.numbers.len() >= events {
                    return;
                }
            }
            Some(Ok(Message::Close(frame))) => {
                break frame.map_or("closed".to_owned(), |frame| frame.reason.to_string());
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => break error.to_string(),
            None => break "closed".to_owned(),
        }
    };
    inbox.lock().unwrap_or_else(PoisonError::into_inner).ended = Some(ended);
}

/// The number of an event, if it is one of the benchmark's.
pub fn number(text: &str) -> Option<u32> {
    let at = text.find(MARK)? + MARK.len();
    text.get(at..at + DIGITS)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_in_the_text_of_an_event() {
        let text = r#"{"event":"ACTIVITY_LOGGED","payload":{"summary":"bench-event 00000042"}}"#;
        assert_eq!(number(text), Some(42));
        assert_eq!(number(r#"{"event":"WORKSPACE_ONLINE"}"#), None);
        assert_eq!(number("bench-event 12"), None);
    }
}
