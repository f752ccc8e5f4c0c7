//! Answers, in the shapes of the agent that the original platform was recorded
//! with.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::behaviour::Gate;
use super::wire::Received;

/// Bytes of a huge text that are written at once.
const PIECE: usize = 64 * 1024;

/// A whole answer.
pub(super) struct Answer<'a> {
    pub code: u16,
    pub content_type: &'a str,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Answer<'_> {
    pub(super) fn json(body: &Value) -> Self {
        Self {
            code: 200,
            content_type: "application/json",
            headers: Vec::new(),
            body: body.to_string().into(),
        }
    }

    pub(super) fn text(body: &'static str) -> Self {
        Self {
            code: 200,
            content_type: "text/plain",
            headers: Vec::new(),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    /// Writes it whole.
    pub(super) async fn write(&self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let mut whole = self.head().into_bytes();
        whole.extend_from_slice(&self.body);
        to.write_all(&whole).await
    }

    /// Writes it up to the middle of its body.
    pub(super) async fn write_half(&self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let mut half = self.head().into_bytes();
        half.extend_from_slice(&self.body[..self.body.len() / 2]);
        to.write_all(&half).await
    }

    fn head(&self) -> String {
        let mut fields = vec![("content-length", self.body.len().to_string())];
        if !self.content_type.is_empty() {
            fields.push(("content-type", self.content_type.to_owned()));
        }
        let further = self.headers.iter();
        fields.extend(further.map(|(name, value)| (name.as_str(), value.clone())));
        head(self.code, &fields)
    }
}

fn head(code: u16, fields: &[(&str, String)]) -> String {
    let reason = http::StatusCode::from_u16(code).ok();
    let reason = reason.and_then(|code| code.canonical_reason());
    let mut head = format!("HTTP/1.1 {code} {}\r\n", reason.unwrap_or("Unknown"));
    for (name, value) in fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head
}

fn text(request: &Value) -> &str {
    let parts = request["params"]["message"]["parts"].as_array();
    let first = parts.and_then(|parts| parts.iter().find(|part| part.is_object()));
    first
        .and_then(|part| part["text"].as_str())
        .unwrap_or_default()
}

pub(super) fn echo(request: &Received) -> Value {
    let request = request.json();
    let text = format!("echo: {}", text(&request));
    json!({"jsonrpc": "2.0", "id": request["id"], "result": {
        "kind": "message", "role": "agent", "messageId": "reply-1",
        "parts": [{"kind": "text", "text": text}]}})
}

pub(super) fn task(request: &Received) -> Value {
    let request = request.json();
    let text = format!("artifact: {}", text(&request));
    json!({"jsonrpc": "2.0", "id": request["id"], "result": {
        "kind": "task", "id": "t1", "contextId": "c1", "status": {"state": "completed"},
        "artifacts": [{"artifactId": "a1", "parts": [{"kind": "text", "text": text}]}]}})
}

pub(super) fn traced(request: &Received) -> Value {
    json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": {
        "kind": "message", "parts": [{"kind": "text", "text": "traced"}],
        "metadata": {"tool_trace": [{"tool": "grep", "input": "x"}]},
        "usage": {"input_tokens": 1000, "output_tokens": 200}}})
}

pub(super) fn rpc_error(request: &Received) -> Value {
    let error = json!({"code": -32603, "message": "model exploded"});
    json!({"jsonrpc": "2.0", "id": request.json()["id"], "error": error})
}

/// An echo of about so many bytes, a piece at a time.
pub(super) async fn write_huge(
    to: &mut (impl AsyncWrite + Unpin),
    request: &Received,
    bytes: usize,
) -> io::Result<()> {
    const MARK: &str = "<here>";
    let mut shape = echo(request);
    shape["result"]["parts"][0]["text"] = json!(MARK);
    let shape = shape.to_string();
    let (before, after) = shape.split_once(MARK).unwrap_or((&shape, ""));
    let filling = bytes.saturating_sub(before.len() + after.len());
    let length = before.len() + filling + after.len();
    let fields = [
        ("content-length", length.to_string()),
        ("content-type", "application/json".to_owned()),
    ];
    to.write_all(head(200, &fields).as_bytes()).await?;
    to.write_all(before.as_bytes()).await?;
    let piece = vec![b'x'; PIECE];
    let mut left = filling;
    while left > 0 {
        let now = left.min(PIECE);
        to.write_all(&piece[..now]).await?;
        left -= now;
    }
    to.write_all(after.as_bytes()).await
}

/// Server-sent events, each a chunk; event n waits for the gate to reach n. Bytes are
/// told to `written` once the socket took them.
pub(super) async fn write_stream(
    to: &mut (impl AsyncWrite + Unpin),
    request: &Received,
    (events, gate): (usize, &Gate),
    written: impl Fn(usize),
) -> io::Result<()> {
    to.write_all(head_of_stream().as_bytes()).await?;
    let id = request.json()["id"].clone();
    for n in 1..=events {
        gate.reached(n).await;
        let is_last = n == events;
        let state = if is_last { "completed" } else { "working" };
        let text = format!("event {n}");
        let event = json!({"jsonrpc": "2.0", "id": id, "result": {
            "kind": "status-update", "taskId": "t1", "contextId": "c1", "final": is_last,
            "status": {"state": state, "message": {
                "kind": "message", "role": "agent", "messageId": format!("update-{n}"),
                "parts": [{"kind": "text", "text": text}]}}}});
        let event = format!("data: {event}\n\n");
        to.write_all(chunk(&event).as_bytes()).await?;
        written(event.len());
    }
    to.write_all(b"0\r\n\r\n").await
}

/// Comments, each a chunk, until the gate has reached 1; then one event.
pub(super) async fn write_pings(
    to: &mut (impl AsyncWrite + Unpin),
    request: &Received,
    (each, gate): (Duration, &Gate),
) -> io::Result<()> {
    to.write_all(head_of_stream().as_bytes()).await?;
    while tokio::time::timeout(each, gate.reached(1)).await.is_err() {
        to.write_all(chunk(": ping\r\n\r\n").as_bytes()).await?;
    }
    let event = json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": {
        "kind": "status-update", "taskId": "t1", "contextId": "c1", "final": true,
        "status": {"state": "completed"}}});
    let event = chunk(&format!("data: {event}\r\n\r\n"));
    to.write_all(format!("{event}0\r\n\r\n").as_bytes()).await
}

fn head_of_stream() -> String {
    let fields = [
        ("content-type", "text/event-stream".to_owned()),
        ("transfer-encoding", "chunked".to_owned()),
    ];
    head(200, &fields)
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}
