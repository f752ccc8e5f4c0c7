//! Event payloads: compact JSON, sorted keys, whole numbers without `.0`.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::occurrence::Profile;
use crate::causes::{CauseKind, Causes};

/// A float as the legacy platform prints it: `1`, not `1.0`. Not finite: null.
#[must_use]
pub fn json_number(number: f64) -> Value {
    // Up to here every whole float is an exact integer.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        // In range by the comparison above.
        #[allow(clippy::cast_possible_truncation)]
        return Value::from(number as i64);
    }
    Value::from(number)
}

/// `{}`.
pub(super) fn empty() -> String {
    "{}".to_owned()
}

/// serde_json's map is sorted by key as long as nobody asks for insertion
/// order; a feature of another crate must not change what is stored.
fn object<const N: usize>(mut fields: [(&str, Value); N]) -> String {
    fields.sort_by(|left, right| left.0.cmp(right.0));
    let map: Map<String, Value> = fields
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    Value::Object(map).to_string()
}

pub(super) fn provisioning(profile: &Profile<'_>) -> String {
    object([
        ("name", profile.name.into()),
        ("runtime", profile.runtime.into()),
        ("tier", profile.tier.into()),
    ])
}

pub(super) fn external(name: &str) -> String {
    object([("external", true.into()), ("name", name.into())])
}

/// The card's own text, so that its numbers and key order stay as they came.
/// Text that is no JSON becomes a JSON string: a payload is always JSON.
pub(super) fn registered(url: &str, agent_card: &str) -> String {
    let url = Value::from(url);
    if serde_json::from_str::<&RawValue>(agent_card).is_ok() {
        format!(r#"{{"agent_card":{},"url":{url}}}"#, agent_card.trim())
    } else {
        object([("agent_card", agent_card.into()), ("url", url)])
    }
}

pub(super) fn recovered_from_provisioning() -> String {
    object([("recovered_from", "provisioning".into())])
}

/// What one beat brought against the workspace.
#[derive(Debug, Clone, Copy)]
pub(super) struct Brought {
    /// It said that it is wedged.
    pub wedged: bool,
    /// Its error rate, if that is a cause.
    pub error_rate: Option<f64>,
}

impl Brought {
    pub(super) const fn is_any(self) -> bool {
        self.wedged || self.error_rate.is_some()
    }
}

/// One event with all facts of the beat (rules R3, R4, R5).
pub(super) fn degraded_by_beat(brought: Brought, sample_error: &str) -> String {
    let sample = ("sample_error", Value::from(sample_error));
    let wedged = ("runtime_state", Value::from("wedged"));
    match (brought.error_rate.map(json_number), brought.wedged) {
        (Some(rate), true) => object([("error_rate", rate), wedged, sample]),
        (Some(rate), false) => object([("error_rate", rate), sample]),
        (None, true) => object([wedged, sample]),
        (None, false) => object([sample]),
    }
}

/// The payload for causes that stood before (rules R1, R3 and R8): the
/// heaviest one's word and evidence. `error_rate` and `unknown` are no runtime
/// state, so only their evidence is told.
pub(super) fn degraded_by_causes(causes: &Causes) -> String {
    for kind in [CauseKind::Wedged, CauseKind::Unresponsive] {
        if let Some(cause) = causes.get(kind) {
            return object([
                ("runtime_state", kind.label().into()),
                ("sample_error", cause.evidence.as_str().into()),
            ]);
        }
    }
    let evidence = causes
        .iter()
        .next()
        .map_or("", |(_, cause)| cause.evidence.as_str());
    object([("sample_error", evidence.into())])
}

pub(super) fn error(text: &str) -> String {
    object([("error", text.into())])
}

pub(super) fn start_failed(text: &str, missing: &[String]) -> String {
    if missing.is_empty() {
        return error(text);
    }
    object([("error", text.into()), ("missing", missing.into())])
}

pub(super) fn provision_timeout(text: &str, runtime: &str, timeout_secs: i64) -> String {
    object([
        ("error", text.into()),
        ("runtime", runtime.into()),
        ("source", "provision_timeout_sweep".into()),
        ("timeout_secs", timeout_secs.into()),
    ])
}

pub(super) fn bootstrap_failed(text: &str, log_tail: &str) -> String {
    object([
        ("error", text.into()),
        ("log_tail", log_tail.into()),
        ("source", "bootstrap_watcher".into()),
    ])
}

pub(super) fn name(name: &str) -> String {
    object([("name", name.into())])
}

pub(super) fn name_and_tier(name: &str, tier: i32) -> String {
    object([("name", name.into()), ("tier", tier.into())])
}

pub(super) fn removed(cascade: Option<u32>) -> String {
    cascade.map_or_else(empty, |count| object([("cascade_deleted", count.into())]))
}
