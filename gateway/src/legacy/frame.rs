//! An event as legacy sockets and streams send it (contract/activity.md), with
//! `seq` beside it (deviation D34).

use std::sync::OnceLock;

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use candor_peers::time::datetime;
use candor_process::scales::{Scales, Weight};
use candor_proto::registry::v1 as pb;
use chrono::{DateTime, Utc};

use super::json::encode::{Members as _, Struct};
use super::json::time::rfc3339;

/// One event, encoded once for all who get it.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Its number, if it is stored.
    pub seq: Option<i64>,
    /// Whom it is about; empty if nobody.
    pub workspace_id: String,
    event: String,
    payload: String,
    at: DateTime<Utc>,
    socket: OnceLock<Utf8Bytes>,
    stream: OnceLock<Bytes>,
    weight: Option<Weight>,
}

impl Frame {
    /// Takes an event of the registry.
    #[must_use]
    pub fn of(event: pb::Event) -> Self {
        Self {
            seq: (event.seq > 0).then_some(event.seq),
            workspace_id: event.workspace_id,
            event: event.event_type,
            payload: event.payload,
            at: event
                .created_at
                .as_ref()
                .and_then(datetime)
                .unwrap_or_else(Utc::now),
            socket: OnceLock::new(),
            stream: OnceLock::new(),
            weight: None,
        }
    }

    /// Puts it on the scales for as long as anybody keeps it; false if it is too
    /// much for them.
    #[must_use]
    pub fn weigh(&mut self, scales: &Scales) -> bool {
        // Itself, and both of its encodings.
        self.weight = scales.weigh(3 * self.payload.len());
        self.weight.is_some()
    }

    /// True for the one event that may be dropped.
    #[must_use]
    pub fn is_heartbeat(&self) -> bool {
        self.event == "WORKSPACE_HEARTBEAT"
    }

    /// A WebSocket text: `{"event","workspace_id","timestamp","payload"}`.
    #[must_use]
    pub fn socket(&self) -> Utf8Bytes {
        self.socket
            .get_or_init(|| {
                let frame = Struct::new()
                    .string("event", &self.event)
                    .string("workspace_id", &self.workspace_id)
                    .string("timestamp", &rfc3339(self.at))
                    .json_text("payload", &self.payload);
                match self.seq {
                    Some(seq) => frame.int("seq", seq).finish(),
                    None => frame.finish(),
                }
                .into()
            })
            .clone()
    }

    /// An event of a stream: `{"type","timestamp","data"}`, its number as `id:`.
    #[must_use]
    pub fn stream(&self) -> Bytes {
        self.stream
            .get_or_init(|| {
                let data = Struct::new()
                    .string("type", &self.event)
                    .int("timestamp", self.at.timestamp_millis())
                    .json_text("data", &self.payload)
                    .finish();
                match self.seq {
                    Some(seq) => format!("id: {seq}\ndata: {data}\n\n"),
                    None => format!("data: {data}\n\n"),
                }
                .into()
            })
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: i64) -> pb::Event {
        pb::Event {
            event_type: "WORKSPACE_ONLINE".to_owned(),
            workspace_id: "w".to_owned(),
            payload: r#"{"a": 1000.0, "b": "<"}"#.to_owned(),
            created_at: Some(prost_types::Timestamp {
                seconds: 1,
                nanos: 500_000_000,
            }),
            seq,
            ..pb::Event::default()
        }
    }

    #[test]
    fn a_stored_event_has_its_number_on_both_wires() {
        let frame = Frame::of(event(7));
        assert_eq!(
            frame.socket().as_str(),
            r#"{"event":"WORKSPACE_ONLINE","workspace_id":"w","timestamp":"1970-01-01T00:00:01.5Z","payload":{"a":1000.0,"b":"\u003c"},"seq":7}"#
        );
        assert_eq!(
            frame.stream(),
            concat!(
                "id: 7\n",
                r#"data: {"type":"WORKSPACE_ONLINE","timestamp":1500,"data":{"a":1000.0,"b":"\u003c"}}"#,
                "\n\n"
            )
        );
    }

    #[test]
    fn an_event_that_is_not_stored_has_none() {
        let frame = Frame::of(event(0));
        assert!(!frame.socket().contains("seq"));
        assert!(frame.stream().starts_with(b"data: "));
    }
}
