//! Times and spans on the wire.

use std::time::Duration;

use candor_kernel::Error;
use chrono::{DateTime, TimeZone as _, Utc};

/// A protobuf time.
#[must_use]
pub fn timestamp(time: DateTime<Utc>) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.timestamp(),
        nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or(0),
    }
}

/// A time from a protobuf one; none for what no clock can show.
#[must_use]
pub fn datetime(stamp: &prost_types::Timestamp) -> Option<DateTime<Utc>> {
    let nanos = u32::try_from(stamp.nanos).ok()?;
    Utc.timestamp_opt(stamp.seconds, nanos).single()
}

/// Reads a protobuf time.
///
/// # Errors
/// A field error for a time beyond what a clock can show.
pub fn time(field: &'static str, stamp: &prost_types::Timestamp) -> Result<DateTime<Utc>, Error> {
    datetime(stamp).ok_or_else(|| Error::field(field, format!("{field} is not a time")))
}

/// A span from a protobuf duration; none for a negative one.
#[must_use]
pub fn span(duration: prost_types::Duration) -> Option<Duration> {
    Duration::try_from(duration).ok()
}

/// A protobuf duration.
#[must_use]
pub fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}
