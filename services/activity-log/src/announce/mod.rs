//! Tells who watches what was written: events that are not stored, over the
//! registry (contract/activity.md, "Persisted vs broadcast-only").
//!
//! An agent's words to a person are never dropped while the process runs: who
//! cannot queue them refuses the message instead. ACTIVITY_LOGGED may be, when
//! there are more than watchers could ever be told, or nobody to tell it to; then
//! it is counted.

mod teller;

use std::time::Duration;

use candor_kernel::{ActivityId, Error, Reason};
use candor_peers::RegistryClient;
use candor_process::scales::{Scales, Weight};
use candor_proto::registry::v1 as pb;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::store::write::Told;

/// Events of rows that may wait, and their bytes.
const ROWS: usize = 4096;
const ROW_BYTES: usize = 32 * 1024 * 1024;
/// Words to people that may wait, and their bytes.
const WORDS: usize = 1024;
const WORD_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of a payload, at most: with what is around it, a registry takes it.
pub const LARGEST: usize = 1536 * 1024;
/// Bytes of a summary that are announced; the row has all of it.
const SUMMARY: usize = 4096;
/// Bytes of a tool trace that is announced; a longer one is in the row only.
const TRACE: usize = 256 * 1024;

/// An event that waits.
#[derive(Debug)]
struct Waiting {
    event: pb::Event,
    /// It must be told.
    is_words: bool,
    weight: Weight,
}

/// The way to who watches; cheap to clone.
#[derive(Debug, Clone)]
pub struct Announcer {
    rows: mpsc::Sender<Waiting>,
    row_scales: Scales,
    words: mpsc::Sender<Waiting>,
    word_scales: Scales,
}

/// A place in the queue of words to people, kept once they are durable.
#[derive(Debug)]
pub struct Promise {
    place: mpsc::OwnedPermit<Waiting>,
    waiting: Waiting,
}

impl Announcer {
    /// Starts telling `registry`; ends at `stop`, after what is queued.
    #[must_use]
    pub fn start(
        registry: RegistryClient,
        stop: CancellationToken,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (rows, of_rows) = mpsc::channel(ROWS);
        let (words, of_words) = mpsc::channel(WORDS);
        let teller = teller::Teller::new(registry, of_rows, of_words);
        let task = tokio::spawn(teller.run(stop));
        let announcer = Self {
            rows,
            row_scales: Scales::new(ROW_BYTES),
            words,
            word_scales: Scales::new(WORD_BYTES),
        };
        (announcer, task)
    }

    /// Announces a row that was written.
    pub fn logged(&self, row: Told) {
        // A payload costs more than a place in the queue.
        let Ok(place) = self.rows.try_reserve() else {
            return dropped("queue_full", 1);
        };
        // Told again after an answer was lost, it is known again.
        let event = activity_logged(&row, uuid::Uuid::now_v7());
        let Some(weight) = self.row_scales.weigh(event.payload.len()) else {
            return dropped("queue_full", 1);
        };
        place.send(Waiting {
            event,
            is_words: false,
            weight,
        });
    }

    /// A place for words to a person, taken before they are written.
    ///
    /// # Errors
    /// `OVERLOADED` when too many wait; a field error for a message that no event
    /// can hold.
    pub fn promise(
        &self,
        id: ActivityId,
        workspace_id: &str,
        payload: &serde_json::Value,
    ) -> Result<Promise, Error> {
        let event = event(
            id.as_uuid(),
            "AGENT_MESSAGE",
            workspace_id,
            payload.to_string(),
        );
        if event.payload.len() > LARGEST {
            return Err(Error::field("message", "message is too long"));
        }
        let place = self.words.clone().try_reserve_owned();
        let place = place.map_err(|_| overloaded())?;
        let weight = self.word_scales.weigh(event.payload.len());
        let weight = weight.ok_or_else(overloaded)?;
        Ok(Promise {
            place,
            waiting: Waiting {
                event,
                is_words: true,
                weight,
            },
        })
    }
}

impl Promise {
    /// Keeps it.
    pub fn keep(self) {
        self.place.send(self.waiting);
    }
}

fn overloaded() -> Error {
    Error::new(
        Reason::Overloaded,
        "too many messages wait to be shown — retry shortly",
    )
    .with_retry_after(Duration::from_secs(1))
}

fn event(id: uuid::Uuid, event_type: &str, workspace_id: &str, payload: String) -> pb::Event {
    pb::Event {
        id: id.to_string(),
        event_type: event_type.to_owned(),
        workspace_id: workspace_id.to_owned(),
        payload,
        ..pb::Event::default()
    }
}

/// Absent values are null (contract/activity.md, "Event catalogue").
fn activity_logged(row: &Told, id: uuid::Uuid) -> pb::Event {
    let mut payload = json!({
        "activity_type": row.activity_type,
        "method": row.method.as_deref().map(beginning),
        "summary": row.summary.as_deref().map(beginning),
        "status": row.status.as_deref().map(beginning),
        "source_id": row.source_id,
        "target_id": row.target_id,
        "duration_ms": row.duration_ms,
    })
    .to_string();
    if let Some(trace) = row.tool_trace.as_deref()
        && trace.len() <= TRACE
        && let Ok(trace) = serde_json::from_str::<&RawValue>(trace)
        && payload.pop().is_some()
    {
        // As text: the trace's own numbers and order survive.
        payload.push_str(",\"tool_trace\":");
        payload.push_str(trace.get());
        payload.push('}');
    }
    event(
        id,
        "ACTIVITY_LOGGED",
        &row.workspace_id.to_string(),
        payload,
    )
}

/// A text, or as much of its beginning as is announced.
fn beginning(text: &str) -> std::borrow::Cow<'_, str> {
    if text.len() <= SUMMARY {
        return text.into();
    }
    let mut end = SUMMARY;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", text.get(..end).unwrap_or_default()).into()
}

fn dropped(reason: &'static str, count: usize) {
    metrics::counter!(
        "candor_events_dropped_total",
        "event" => "ACTIVITY_LOGGED",
        "reason" => reason
    )
    .increment(u64::try_from(count).unwrap_or(u64::MAX));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn row(summary: &str, tool_trace: &str) -> Told {
        Told {
            id: uuid::Uuid::nil(),
            workspace_id: uuid::Uuid::nil(),
            activity_type: "a2a_send".to_owned(),
            method: None,
            summary: Some(summary.to_owned()),
            status: Some("ok".to_owned()),
            source_id: None,
            target_id: None,
            duration_ms: Some(0),
            tool_trace: Some(tool_trace.to_owned()),
        }
    }

    #[test]
    fn a_row_is_told_with_nulls_and_its_trace_as_it_came() {
        let told = activity_logged(&row("s", r#"[{"n":1.0,"a":1}]"#), uuid::Uuid::nil());
        assert_eq!(told.event_type, "ACTIVITY_LOGGED");
        assert_eq!(
            told.payload,
            r#"{"activity_type":"a2a_send","duration_ms":0,"method":null,"source_id":null,"status":"ok","summary":"s","target_id":null,"tool_trace":[{"n":1.0,"a":1}]}"#
        );
    }

    #[test]
    fn what_is_announced_has_a_limit() {
        let row = row(
            &"\u{1}".repeat(1_000_000),
            &format!("[{}]", "1,".repeat(500_000)),
        );
        let told = activity_logged(&row, uuid::Uuid::nil());
        assert!(told.payload.len() < 64 * 1024, "{}", told.payload.len());
    }
}
