//! Times: 0.3 takes what ISO 8601 allows, 1.0 is ProtoJSON's Timestamp.

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use serde_json::Value;

/// A time of 0.3 as ProtoJSON writes it: UTC, with `Z`. Times without an offset
/// are read as UTC. Nothing if it is no time.
pub(super) fn up(time: &Value) -> Option<Value> {
    let text = time.as_str()?;
    let read = parse(text)?;
    if text.ends_with('Z') && text.contains('T') {
        return Some(time.clone());
    }
    Some(Value::from(
        read.to_rfc3339_opts(SecondsFormat::AutoSi, true),
    ))
}

/// Milliseconds since 1970 (`lastUpdatedAfter` of 0.3) as ProtoJSON.
pub(super) fn from_millis(millis: &Value) -> Option<Value> {
    #[allow(clippy::cast_possible_truncation)]
    let whole = millis
        .as_i64()
        .or(millis.as_f64().map(|float| float as i64))?;
    let time = DateTime::<Utc>::from_timestamp_millis(whole)?;
    Some(Value::from(
        time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
    ))
}

/// The way back.
pub(super) fn to_millis(time: &Value) -> Option<Value> {
    Some(Value::from(parse(time.as_str()?)?.timestamp_millis()))
}

fn parse(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    let local = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
    let mut read = local
        .iter()
        .filter_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    read.next().map(|time| time.and_utc())
}
