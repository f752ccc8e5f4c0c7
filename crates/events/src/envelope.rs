//! The envelope in which an event travels to watchers.

use chrono::{DateTime, SecondsFormat, Utc};

/// An event on its way to a watcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// For instance `WORKSPACE_HEARTBEAT`.
    pub event: String,
    /// Whom it is about.
    pub workspace_id: String,
    /// When it happened.
    pub timestamp: DateTime<Utc>,
    /// JSON text.
    pub payload: String,
    /// Its number, if it is stored.
    pub seq: Option<i64>,
}

impl Envelope {
    /// The legacy WebSocket frame plus `seq`: compact JSON, keys sorted
    /// (contract/canvas-client.md).
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(self.payload.len() + 160);
        out.push_str("{\"event\":");
        push_string(&mut out, &self.event);
        out.push_str(",\"payload\":");
        out.push_str(&self.payload);
        if let Some(seq) = self.seq {
            out.push_str(",\"seq\":");
            out.push_str(&seq.to_string());
        }
        out.push_str(",\"timestamp\":");
        push_string(
            &mut out,
            &self.timestamp.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        );
        out.push_str(",\"workspace_id\":");
        push_string(&mut out, &self.workspace_id);
        out.push('}');
        out
    }
}

fn push_string(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_frame_is_compact_with_sorted_keys_and_the_payload_as_it_is() {
        let envelope = Envelope {
            event: "WORKSPACE_ONLINE".to_owned(),
            workspace_id: "w\"1".to_owned(),
            timestamp: DateTime::from_timestamp(0, 0).unwrap(),
            payload: r#"{"a":1000.0}"#.to_owned(),
            seq: Some(7),
        };
        assert_eq!(
            envelope.to_json(),
            r#"{"event":"WORKSPACE_ONLINE","payload":{"a":1000.0},"seq":7,"timestamp":"1970-01-01T00:00:00Z","workspace_id":"w\"1"}"#
        );
        let transient = Envelope {
            seq: None,
            ..envelope
        };
        assert!(!transient.to_json().contains("seq"));
    }
}
