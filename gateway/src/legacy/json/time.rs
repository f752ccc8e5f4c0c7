//! Timestamps on the legacy wire (contract/README.md, wire convention 5).

use std::fmt::Write as _;

use chrono::{DateTime, Datelike as _, Timelike as _, Utc};

/// RFC 3339 in UTC with `Z`; the fraction has up to nine digits, no trailing zeros, and is absent when zero.
#[must_use]
pub fn rfc3339(at: DateTime<Utc>) -> String {
    let mut text = String::with_capacity(30);
    // Written by hand: chrono reads its format string anew for every time, and each beat's answer has one.
    let _ = write!(
        text,
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    );
    // chrono counts a leap second as nanoseconds beyond a whole second.
    let nanos = at.nanosecond() % 1_000_000_000;
    if nanos != 0 {
        let _ = write!(text, ".{nanos:09}");
        text.truncate(text.trim_end_matches('0').len());
    }
    text.push('Z');
    text
}
