//! One heartbeat, validated, before anything is decided about it.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::status::RuntimeState;

/// Which wire the beat came by; decides how absence is read
/// (design: section 5, "Partial beats").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BeatForm {
    /// Typed gRPC: full iff both `error_rate` and `uptime_seconds` are present;
    /// otherwise only what is present is written.
    #[default]
    Typed,
    /// Legacy JSON: absent vitals count as zero, and the partial rule is
    /// inferred from what was seen before.
    LegacyJson,
}

/// What the runtime declares about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RuntimeMetadata {
    /// Named abilities; `status_mgmt`, `scheduler` and `session` are read.
    #[serde(default)]
    pub capabilities: BTreeMap<String, bool>,
    /// How long one call may stay silent, in seconds; none or `<= 0` clears it.
    #[serde(default)]
    pub idle_timeout_seconds: Option<i64>,
}

impl RuntimeMetadata {
    /// True if the runtime judges its own error rate (rule R5's exception).
    #[must_use]
    pub fn owns_status(&self) -> bool {
        self.capabilities
            .get("status_mgmt")
            .copied()
            .unwrap_or(false)
    }

    /// True if the runtime keeps a queue of its own: a busy agent's message is not
    /// queued for it a second time (contract/a2a.md, "Dispatch failure").
    #[must_use]
    pub fn keeps_queue(&self) -> bool {
        self.capabilities.get("session").copied().unwrap_or(false)
    }

    /// How long one call may stay silent, if the runtime says so.
    #[must_use]
    pub fn idle_timeout(&self) -> Option<Duration> {
        let seconds = u64::try_from(self.idle_timeout_seconds?).ok()?;
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }
}

/// How far an agent has come since its process started, by its own count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TurnProgress {
    /// Turns that began.
    pub begun: u64,
    /// Turns that have an answer.
    pub answered: u64,
    /// Turns that failed.
    pub failed: u64,
    /// Pieces of answers and uses of tools.
    pub moved: u64,
}

/// A heartbeat as received. `None` means the field was absent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Beat {
    /// How absence is read.
    pub form: BeatForm,
    /// Share of failed calls; not range-checked (the recorded original stores
    /// -1 and 7.5), but finite.
    pub error_rate: Option<f64>,
    /// One error, in the agent's words.
    pub sample_error: Option<String>,
    /// Calls in progress.
    pub active_tasks: Option<i32>,
    /// Seconds since the agent's process started.
    pub uptime_seconds: Option<i32>,
    /// What it works on.
    pub current_task: Option<String>,
    /// Cumulative US cents this month; 0 leaves the stored value.
    pub monthly_spend: Option<i64>,
    /// Its own word about itself.
    pub runtime_state: Option<RuntimeState>,
    /// What it declares about itself.
    pub runtime_metadata: Option<RuntimeMetadata>,
    /// It announces silence until then; extends the lease.
    pub expect_quiet_until: Option<DateTime<Utc>>,
    /// How far it has come.
    pub turn_progress: Option<TurnProgress>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_of_no_length_declares_none() {
        for (seconds, expected) in [
            (None, None),
            (Some(i64::MIN), None),
            (Some(-1), None),
            (Some(0), None),
            (Some(1), Some(1)),
            (Some(900), Some(900)),
        ] {
            let metadata = RuntimeMetadata {
                idle_timeout_seconds: seconds,
                ..RuntimeMetadata::default()
            };
            let told = metadata.idle_timeout();
            assert_eq!(told, expected.map(Duration::from_secs), "{seconds:?}");
        }
    }

    #[test]
    fn a_queue_of_its_own_must_be_declared() {
        let declared = |session: Option<bool>| RuntimeMetadata {
            capabilities: session
                .map(|session| ("session".to_owned(), session))
                .into_iter()
                .collect(),
            idle_timeout_seconds: None,
        };
        assert!(declared(Some(true)).keeps_queue());
        assert!(!declared(Some(false)).keeps_queue());
        assert!(!declared(None).keeps_queue());
    }
}
