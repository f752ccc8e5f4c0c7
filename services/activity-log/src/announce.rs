//! Tells who watches what was written: events that are not stored, over the
//! registry (contract/activity.md, "Persisted vs broadcast-only").
//!
//! An agent's words to a person are never dropped: who cannot queue them refuses
//! the message instead. ACTIVITY_LOGGED may be, when there are more than watchers
//! could ever be told; then it is counted.

use std::time::{Duration, Instant};

use candor_kernel::{Caller, Error, Reason};
use candor_peers::RegistryClient;
use candor_proto::registry::v1 as pb;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;
use tokio_util::sync::CancellationToken;

use crate::store::write::Told;

/// Events of rows that may wait.
const QUEUE: usize = 4096;
/// Words to people that may wait.
const WORDS: usize = 1024;
/// Events in one call, at most.
const MOST_AT_ONCE: usize = 64;
/// Bytes of payload in one call, about.
const MOST_BYTES_AT_ONCE: usize = 512 * 1024;
/// Rows announced a second, at most: twice what sockets are built for.
const MOST_A_SECOND: f64 = 5_000.0;
/// Pause before an announcement is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// How long an announcement is tried: who watches has been cut by then, and
/// reads the log when it comes back.
const GIVE_UP_AFTER: Duration = Duration::from_secs(15);

/// The way to who watches; cheap to clone.
#[derive(Debug, Clone)]
pub struct Announcer {
    logged: mpsc::Sender<pb::Event>,
    words: mpsc::Sender<pb::Event>,
}

/// A place in the queue of words to people.
pub struct Promise(mpsc::OwnedPermit<pb::Event>);

impl Announcer {
    /// Starts telling `registry`; ends at `stop`, after what is queued.
    #[must_use]
    pub fn start(
        registry: RegistryClient,
        stop: CancellationToken,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (logged, rows) = mpsc::channel(QUEUE);
        let (words, said) = mpsc::channel(WORDS);
        let teller = Teller {
            registry,
            rows,
            said,
            pace: Pace::full(),
        };
        let task = tokio::spawn(teller.run(stop));
        (Self { logged, words }, task)
    }

    /// Announces a row that was written.
    pub fn logged(&self, row: Told) {
        // A payload costs more than a place in the queue.
        match self.logged.try_reserve() {
            Ok(place) => place.send(activity_logged(&row)),
            Err(_) => dropped("queue_full", 1),
        }
    }

    /// A place for words to a person, taken before they are written.
    ///
    /// # Errors
    /// `OVERLOADED` when too many wait.
    pub fn promise(&self) -> Result<Promise, Error> {
        self.words
            .clone()
            .try_reserve_owned()
            .map(Promise)
            .map_err(|_| {
                Error::new(
                    Reason::Overloaded,
                    "too many messages wait to be shown — retry shortly",
                )
                .with_retry_after(Duration::from_secs(1))
            })
    }
}

impl Promise {
    /// Keeps it.
    pub fn keep(self, workspace_id: &str, payload: &serde_json::Value) {
        self.0
            .send(event("AGENT_MESSAGE", workspace_id, payload.to_string()));
    }
}

fn event(event_type: &str, workspace_id: &str, payload: String) -> pb::Event {
    pb::Event {
        event_type: event_type.to_owned(),
        workspace_id: workspace_id.to_owned(),
        payload,
        ..pb::Event::default()
    }
}

/// Absent values are null (contract/activity.md, "Event catalogue").
fn activity_logged(row: &Told) -> pb::Event {
    let mut payload = json!({
        "activity_type": row.activity_type,
        "method": row.method,
        "summary": row.summary,
        "status": row.status,
        "source_id": row.source_id,
        "target_id": row.target_id,
        "duration_ms": row.duration_ms,
    })
    .to_string();
    if let Some(trace) = row.tool_trace.as_deref()
        && let Ok(trace) = serde_json::from_str::<&RawValue>(trace)
        && payload.pop().is_some()
    {
        // As text: the trace's own numbers and order survive.
        payload.push_str(",\"tool_trace\":");
        payload.push_str(trace.get());
        payload.push('}');
    }
    event("ACTIVITY_LOGGED", &row.workspace_id.to_string(), payload)
}

fn dropped(reason: &'static str, count: usize) {
    metrics::counter!(
        "candor_events_dropped_total",
        "event" => "ACTIVITY_LOGGED",
        "reason" => reason
    )
    .increment(u64::try_from(count).unwrap_or(u64::MAX));
}

/// The task's state.
struct Teller {
    registry: RegistryClient,
    rows: mpsc::Receiver<pb::Event>,
    said: mpsc::Receiver<pb::Event>,
    pace: Pace,
}

impl Teller {
    async fn run(mut self, stop: CancellationToken) {
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                biased;
                Some(words) = self.said.recv() => batch.push(words),
                Some(row) = self.rows.recv() => self.take(row, &mut batch),
                () = stop.cancelled() => return,
                else => return,
            }
            self.fill(&mut batch);
            if !batch.is_empty() && self.tell(batch, &stop).await.is_err() {
                return;
            }
        }
    }

    fn take(&mut self, row: pb::Event, batch: &mut Vec<pb::Event>) {
        if self.pace.allows() {
            batch.push(row);
        } else {
            dropped("rate", 1);
        }
    }

    /// Adds what is there already.
    fn fill(&mut self, batch: &mut Vec<pb::Event>) {
        let mut bytes: usize = batch.iter().map(|event| event.payload.len()).sum();
        while batch.len() < MOST_AT_ONCE && bytes < MOST_BYTES_AT_ONCE {
            match (self.said.try_recv(), self.rows.is_empty()) {
                (Ok(words), _) => batch.push(words),
                (Err(TryRecvError::Empty | TryRecvError::Disconnected), true) => return,
                (Err(_), false) => match self.rows.try_recv() {
                    Ok(row) => self.take(row, batch),
                    Err(_) => return,
                },
            }
            bytes += batch.last().map_or(0, |event| event.payload.len());
        }
    }

    /// Tells a batch, trying again while that makes sense. An error is the order
    /// to stop.
    async fn tell(&self, events: Vec<pb::Event>, stop: &CancellationToken) -> Result<(), ()> {
        let caller = Caller::system("activity-log");
        let started = Instant::now();
        let request = pb::PublishTransientRequest {
            event: None,
            events,
        };
        loop {
            let told = self
                .registry
                .call(&caller, request.clone(), |mut c, r| async move {
                    c.publish_transient(r).await
                })
                .await;
            let Err(error) = told else {
                return Ok(());
            };
            let passing = matches!(error.kind(), candor_kernel::ErrorKind::Unavailable);
            if !passing || started.elapsed() > GIVE_UP_AFTER {
                tracing::warn!(
                    events = request.events.len(),
                    internal = error.internal_text(),
                    "events were not told to who watches: {error}"
                );
                metrics::counter!("candor_events_untold_total")
                    .increment(u64::try_from(request.events.len()).unwrap_or(u64::MAX));
                return Ok(());
            }
            if stop
                .run_until_cancelled(tokio::time::sleep(RETRY_AFTER))
                .await
                .is_none()
            {
                return Err(());
            }
        }
    }
}

/// A token bucket of one second.
struct Pace {
    tokens: f64,
    at: Instant,
}

impl Pace {
    fn full() -> Self {
        Self {
            tokens: MOST_A_SECOND,
            at: Instant::now(),
        }
    }

    fn allows(&mut self) -> bool {
        if self.tokens < 1.0 {
            let now = Instant::now();
            let earned = now.duration_since(self.at).as_secs_f64() * MOST_A_SECOND;
            self.tokens = (self.tokens + earned).min(MOST_A_SECOND);
            self.at = now;
        }
        let allowed = self.tokens >= 1.0;
        if allowed {
            self.tokens -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_row_is_told_with_nulls_and_its_trace_as_it_came() {
        let row = Told {
            id: uuid::Uuid::nil(),
            workspace_id: uuid::Uuid::nil(),
            activity_type: "a2a_send".to_owned(),
            method: None,
            summary: Some("s".to_owned()),
            status: Some("ok".to_owned()),
            source_id: None,
            target_id: None,
            duration_ms: Some(0),
            tool_trace: Some(r#"[{"n":1.0,"a":1}]"#.to_owned()),
        };
        let told = activity_logged(&row);
        assert_eq!(told.event_type, "ACTIVITY_LOGGED");
        assert_eq!(
            told.payload,
            r#"{"activity_type":"a2a_send","duration_ms":0,"method":null,"source_id":null,"status":"ok","summary":"s","target_id":null,"tool_trace":[{"n":1.0,"a":1}]}"#
        );
    }

    #[test]
    fn more_than_the_pace_is_refused() {
        let mut pace = Pace::full();
        let allowed = (0..6_000).filter(|_| pace.allows()).count();
        assert!((5_000..6_000).contains(&allowed), "{allowed}");
    }
}
