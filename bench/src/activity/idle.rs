//! Clients of a stream of events that nothing happens on: what each costs.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::stage::{Candor, Stage};
use super::wire;
use crate::Result;
use crate::beat::Workspace;
use crate::machine::resident;

/// Connections that are being opened at the same time.
const AT_ONCE: usize = 16;
/// Clients that come and go first: what is made once is nobody's cost.
const FIRST: usize = 20;
/// How long nothing happens before memory is read.
const SETTLE: Duration = Duration::from_secs(5);
/// Longest wait for a word of the stream.
const PATIENCE: Duration = Duration::from_secs(10);
/// Ends the silence.
const WORD: &str = "bench-idle";

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub struct Idle {
    clients: usize,
    /// MiB resident without and with them.
    before: f64,
    with: f64,
}

/// Opens so many streams, reads the platform's memory, and sees that each stream
/// is still alive.
pub async fn measure(stage: &Stage<'_>, candor: &Candor, clients: usize) -> Result<Idle> {
    let (pid, workspace) = (candor.pid()?, stage.first()?);
    drop(open(candor.http, workspace, FIRST).await?);
    tokio::time::sleep(SETTLE).await;
    let before = resident(pid)?;
    let streams = open(candor.http, workspace, clients).await?;
    tokio::time::sleep(SETTLE).await;
    let with = resident(pid)?;

    let (_, row) = wire::row(workspace, WORD, None);
    let channel = candor.channel().await?;
    wire::record(channel, &wire::token(workspace)?, row).await?;
    for (number, mut stream) in streams.into_iter().enumerate() {
        heard(&mut stream, WORD)
            .await
            .map_err(|error| format!("stream {number} got no event: {error}"))?;
    }
    Ok(Idle {
        clients,
        before,
        with,
    })
}

async fn open(http: SocketAddr, workspace: &Workspace, count: usize) -> Result<Vec<TcpStream>> {
    let request = format!(
        "GET /workspaces/{}/events/stream HTTP/1.1\r\nHost: {http}\r\nAuthorization: Bearer {}\r\nAccept: text/event-stream\r\n\r\n",
        workspace.id, workspace.token
    );
    stream::iter(0..count)
        .map(|_| one(http, &request))
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

async fn one(http: SocketAddr, request: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(http).await?;
    stream.set_nodelay(true)?;
    stream.write_all(request.as_bytes()).await?;
    // The first comment: the stream has begun.
    heard(&mut stream, ": ping").await?;
    Ok(stream)
}

/// Reads until this was said.
async fn heard(stream: &mut TcpStream, word: &str) -> Result<()> {
    let mut text = String::new();
    let mut bytes = [0; 4096];
    while !text.contains(word) {
        let count = tokio::time::timeout(PATIENCE, stream.read(&mut bytes)).await??;
        if count == 0 {
            return Err(format!("the stream was closed after {text:?}").into());
        }
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    Ok(())
}

impl Idle {
    /// What each took.
    pub fn kib(&self) -> f64 {
        (self.with - self.before) * 1024.0 / self.clients.max(1) as f64
    }
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "  {} clients: resident {:.1} MiB without, {:.1} MiB with them, {:.1} KiB each",
            self.clients,
            self.before,
            self.with,
            self.kib()
        )
    }
}
