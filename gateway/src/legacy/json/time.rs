//! Timestamps on the legacy wire (contract/README.md, wire convention 5).

use chrono::{DateTime, Timelike, Utc};

/// RFC 3339 in UTC with `Z`; the fraction has up to nine digits, no trailing zeros, and is absent when zero.
#[must_use]
pub fn rfc3339(at: DateTime<Utc>) -> String {
    let mut text = at.format("%Y-%m-%dT%H:%M:%S").to_string();
    // chrono counts a leap second as nanoseconds beyond a whole second.
    let nanos = at.nanosecond() % 1_000_000_000;
    if nanos != 0 {
        let fraction = format!("{nanos:09}");
        text.push('.');
        text.push_str(fraction.trim_end_matches('0'));
    }
    text.push('Z');
    text
}
