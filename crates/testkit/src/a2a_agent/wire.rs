//! Requests as they come in: HTTP/1.1, as much of it as clients send.

use std::io;
use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

/// Longest head, in bytes.
const HEAD: usize = 64 * 1024;
/// Longest body, in bytes.
const BODY: usize = 32 * 1024 * 1024;

/// One request, read to its end.
#[derive(Debug, Clone)]
pub struct Received {
    /// `POST`, `GET`.
    pub method: String,
    /// Path and query as they were sent.
    pub target: String,
    /// Names in lower case, in the order in which they came.
    pub headers: Vec<(String, String)>,
    /// Every byte, without the framing of chunks.
    pub body: Bytes,
    /// When its last byte was read.
    pub at: Instant,
    /// Which of the agent's connections it came over, from 1.
    pub connection: usize,
}

impl Received {
    /// The path without its query.
    #[must_use]
    pub fn path(&self) -> &str {
        let path = self.target.split_once('?');
        path.map_or(&self.target, |(path, _)| path)
    }

    /// A header by its lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON; `null` when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// `params.message.messageId`, if it is a text.
    #[must_use]
    pub fn message_id(&self) -> Option<String> {
        let id = &self.json()["params"]["message"]["messageId"];
        id.as_str().map(str::to_owned)
    }

    /// Whether its sender wants to use the connection again.
    pub(super) fn keeps_alive(&self) -> bool {
        self.header("connection")
            .is_none_or(|value| !value.eq_ignore_ascii_case("close"))
    }
}

/// Reads one request.
pub(super) async fn read(
    reader: &mut (impl AsyncBufRead + Unpin),
    connection: usize,
) -> io::Result<Received> {
    let mut room = HEAD;
    let first = line(reader, &mut room).await?;
    let mut words = first.split(' ').map(str::to_owned);
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(malformed("a request line"));
    };
    let mut headers = Vec::new();
    loop {
        let header = line(reader, &mut room).await?;
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').ok_or(malformed("a header"))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut received = Received {
        method,
        target,
        headers,
        body: Bytes::new(),
        at: Instant::now(),
        connection,
    };
    received.body = body(reader, &received).await?;
    received.at = Instant::now();
    Ok(received)
}

async fn body(reader: &mut (impl AsyncBufRead + Unpin), head: &Received) -> io::Result<Bytes> {
    if head.header("transfer-encoding") == Some("chunked") {
        return chunks(reader).await;
    }
    let length = head.header("content-length").unwrap_or("0");
    let length = length.parse().map_err(|_| malformed("a length"))?;
    let mut body = Vec::new();
    append(reader, length, &mut body).await?;
    Ok(body.into())
}

async fn chunks(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Bytes> {
    let mut body = Vec::new();
    loop {
        let mut room = HEAD;
        let size = line(reader, &mut room).await?;
        let size = size.split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size, 16).map_err(|_| malformed("a chunk"))?;
        append(reader, size, &mut body).await?;
        // What ends a chunk; after the last one, also trailers.
        while !line(reader, &mut room).await?.is_empty() {}
        if size == 0 {
            return Ok(body.into());
        }
    }
}

async fn append(
    reader: &mut (impl AsyncBufRead + Unpin),
    length: usize,
    body: &mut Vec<u8>,
) -> io::Result<()> {
    if body.len().saturating_add(length) > BODY {
        return Err(malformed("a body that is not too long"));
    }
    let begin = body.len();
    body.resize(begin + length, 0);
    reader.read_exact(&mut body[begin..]).await?;
    Ok(())
}

/// A line without its end.
async fn line(reader: &mut (impl AsyncBufRead + Unpin), room: &mut usize) -> io::Result<String> {
    let mut line = Vec::new();
    let most = u64::try_from(*room).unwrap_or(u64::MAX);
    (&mut *reader)
        .take(most)
        .read_until(b'\n', &mut line)
        .await?;
    *room -= line.len();
    if *room == 0 {
        return Err(malformed("a head that is not too long"));
    }
    if line.last() != Some(&b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let text = String::from_utf8_lossy(&line);
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn malformed(expected: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("expected {expected}"))
}
