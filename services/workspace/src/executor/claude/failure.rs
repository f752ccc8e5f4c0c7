//! Why a turn failed, and whether another attempt may help.

use crate::executor::child::Ended;

/// Longest text of an error, in characters, without what the CLI wrote to its standard
/// error.
const LONGEST: usize = 4_000;

/// A turn that failed.
#[derive(Debug)]
pub(super) struct Failure {
    /// The error, how the CLI ended, and its last words.
    pub(super) text: String,
    pub(super) kind: Kind,
}

/// What can be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing.
    Final,
    /// It may go well the next time, and nothing was said or done yet.
    Transient,
    /// The session is gone.
    UnknownSession,
}

/// What went wrong with the CLI.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("{bin}: cannot be started: {source}")]
    Start { bin: String, source: std::io::Error },
    #[error("Control request timeout: initialize")]
    InitTimeout,
    #[error("initialize was refused: {0}")]
    Refused(String),
    #[error("the turn did not end in time")]
    Late,
    #[error("the CLI wrote {0}")]
    Unreadable(String),
    #[error("the CLI ended without a result")]
    Ended,
    #[error("{text}")]
    Reported { text: String, status: Option<u64> },
}

/// Texts of errors that pass.
const PASSING: &[&str] = &[
    "rate limit",
    "rate_limit",
    "too many requests",
    "overloaded",
    "connection reset",
    "econnreset",
    "connection error",
    "connection refused",
    "socket hang up",
    "api error: 5",
];
const UNKNOWN_SESSION: &str = "No conversation found with session ID";

impl Problem {
    /// Whether the CLI is about to end by itself.
    pub(super) fn is_an_end(&self) -> bool {
        matches!(self, Self::Ended | Self::Reported { .. })
    }

    fn passes(&self) -> bool {
        match self {
            Self::Ended => true,
            Self::Reported {
                status: Some(status),
                ..
            } => matches!(status, 429 | 500..=599),
            Self::Reported { text, status: None } => {
                let text = text.to_lowercase();
                PASSING.iter().any(|known| text.contains(known))
            }
            _ => false,
        }
    }
}

impl Failure {
    /// Of a CLI that is gone. `said` is whether it said or did anything before.
    pub(super) fn new(problem: &Problem, said: bool, ended: &Ended) -> Self {
        let what: String = problem.to_string().chars().take(LONGEST).collect();
        let text = ended.error(&what);
        let kind = match problem {
            Problem::Reported { .. } | Problem::Ended if text.contains(UNKNOWN_SESSION) => {
                Kind::UnknownSession
            }
            problem if !said && problem.passes() => Kind::Transient,
            _ => Kind::Final,
        };
        Self { text, kind }
    }

    /// Of a CLI that was not started.
    pub(super) fn not_started(problem: &Problem) -> Self {
        Self {
            text: problem.to_string(),
            kind: Kind::Final,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(stderr: &str) -> Ended {
        Ended {
            status: None,
            by_itself: false,
            stderr: stderr.to_owned(),
        }
    }

    fn kind(text: &str, status: Option<u64>, said: bool) -> Kind {
        let text = text.to_owned();
        Failure::new(&Problem::Reported { text, status }, said, &ended("")).kind
    }

    #[test]
    fn only_what_passes_is_tried_again_and_only_before_anything_was_said() {
        for (text, status) in [
            ("x", Some(429)),
            ("x", Some(529)),
            ("x", Some(500)),
            ("API Error: 529 Overloaded", None),
            ("read ECONNRESET", None),
            ("API Error: Connection refused (ECONNREFUSED)", None),
        ] {
            assert_eq!(kind(text, status, false), Kind::Transient, "{text}");
            assert_eq!(kind(text, status, true), Kind::Final, "{text}");
        }
        for (text, status) in [
            ("overloaded", Some(400)),
            ("x", Some(401)),
            ("error_max_turns", None),
        ] {
            assert_eq!(kind(text, status, false), Kind::Final, "{text}");
        }
        let failure = Failure::new(&Problem::Ended, false, &ended("x"));
        assert_eq!(failure.kind, Kind::Transient);
        let failure = Failure::new(&Problem::InitTimeout, false, &ended("overloaded"));
        assert_eq!(failure.kind, Kind::Final);
        let start = "Control request timeout: initialize\n";
        assert!(failure.text.starts_with(start), "{}", failure.text);
    }

    #[test]
    fn an_unknown_session_is_known_by_what_is_said_anywhere() {
        let failure = Failure::new(
            &Problem::Ended,
            false,
            &ended("No conversation found with session ID: 1"),
        );
        assert_eq!(failure.kind, Kind::UnknownSession);
    }
}
