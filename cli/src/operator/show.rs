//! How things are shown to people.

use candor_proto::registry::v1 as pb;
use chrono::{DateTime, Utc};

/// The status in lower case, as everywhere else.
pub fn status(status: i32) -> String {
    pb::WorkspaceStatus::try_from(status)
        .unwrap_or(pb::WorkspaceStatus::Unspecified)
        .as_str_name()
        .trim_start_matches("WORKSPACE_STATUS_")
        .to_lowercase()
}

/// A protobuf time.
pub fn time(stamp: &prost_types::Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(stamp.seconds, u32::try_from(stamp.nanos).ok()?)
}

/// How long ago, in the largest unit that fits.
pub fn ago(stamp: Option<&prost_types::Timestamp>) -> String {
    let Some(then) = stamp.and_then(time) else {
        return "never".to_owned();
    };
    long((Utc::now() - then).num_seconds().max(0))
}

/// How long until then, in the largest unit that fits; `now` if that is over.
pub fn until(stamp: Option<&prost_types::Timestamp>) -> String {
    match stamp
        .and_then(time)
        .map(|at| (at - Utc::now()).num_seconds())
    {
        Some(seconds @ 1..) => long(seconds),
        _ => "now".to_owned(),
    }
}

/// A span of seconds in the largest unit that fits.
pub fn long(seconds: i64) -> String {
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A protobuf time for programs.
pub fn rfc3339(stamp: Option<&prost_types::Timestamp>) -> Option<String> {
    stamp.and_then(time).map(|at| at.to_rfc3339())
}

/// A text from an agent, on one line, without control characters.
pub fn line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Colours a status word, if the terminal wants it.
pub fn coloured(status: &str, colour: bool) -> String {
    if !colour {
        return status.to_owned();
    }
    let code = match status {
        "online" => "32",
        "degraded" => "33",
        "offline" | "failed" | "removed" => "31",
        _ => "36",
    };
    format!("\x1b[{code}m{status}\x1b[0m")
}

/// True if standard output is a terminal and nobody asked for plain text.
pub fn wants_colour() -> bool {
    use std::io::IsTerminal as _;
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_people() {
        assert_eq!(
            status(pb::WorkspaceStatus::AwaitingAgent.into()),
            "awaiting_agent"
        );
        assert_eq!(ago(None), "never");
        assert_eq!(until(None), "now");
        let seconds = Utc::now().timestamp() + 3 * 86_400 + 30;
        let later = prost_types::Timestamp { seconds, nanos: 0 };
        assert_eq!(
            (until(Some(&later)), ago(Some(&later))),
            ("3d".into(), "0s".into())
        );
        assert_eq!(line("a\nb\u{1b}[31m"), "a b [31m");
        assert_eq!(coloured("online", false), "online");
    }
}
