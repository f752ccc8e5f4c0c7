//! What a stand-in for the Claude CLI does.

/// What it does with a turn. It answers `initialize` unless said otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// Uses a tool, then says back what it was told.
    Answer,
    /// Reads its input, and never answers `initialize`.
    NeverInitialize,
    /// Answers `initialize` with an error.
    RefuseInitialize,
    /// Answers `initialize`, then is silent.
    NeverAnswer,
    /// Ends at once, with a word on stderr and exit status 3.
    ExitEarly,
    /// Is limited by the API's rate at its first start; answers at the next.
    RateLimitedOnce,
    /// Is limited by the API's rate each time.
    RateLimited,
    /// Uses a tool, and is limited then.
    RateLimitedAfterTool,
    /// The API does not take its request.
    BadRequest,
    /// Writes what is no JSON, without an end.
    Garbage,
    /// Writes a line of nine million bytes.
    HugeLine,
    /// Writes a million bytes to stderr, and ends with exit status 1.
    NoisyStderr,
    /// Asks for leave to use a tool, and two things that nobody knows; tells what it
    /// was answered.
    AsksPermission,
    /// Asks for leave for something long, and writes much before it reads the answer.
    AsksAtLength,
    /// Does not know the session that it shall resume; without one it answers.
    UnknownSession,
    /// Starts a process in its own group and one outside of it, then is silent.
    Family,
    /// The same, and does not hear that it shall end.
    Stubborn,
    /// Says something, and answers after so many milliseconds.
    Slow(u64),
}

impl Behaviour {
    /// By its name, as `CLAUDE_STAND_IN` gives it.
    #[must_use]
    pub fn read(name: &str) -> Option<Self> {
        Some(match name {
            "answer" => Self::Answer,
            "never-initialize" => Self::NeverInitialize,
            "refuse-initialize" => Self::RefuseInitialize,
            "never-answer" => Self::NeverAnswer,
            "exit-early" => Self::ExitEarly,
            "rate-limited-once" => Self::RateLimitedOnce,
            "rate-limited" => Self::RateLimited,
            "rate-limited-after-tool" => Self::RateLimitedAfterTool,
            "bad-request" => Self::BadRequest,
            "garbage" => Self::Garbage,
            "huge-line" => Self::HugeLine,
            "noisy-stderr" => Self::NoisyStderr,
            "asks-permission" => Self::AsksPermission,
            "asks-at-length" => Self::AsksAtLength,
            "unknown-session" => Self::UnknownSession,
            "family" => Self::Family,
            "stubborn" => Self::Stubborn,
            _ => Self::Slow(name.strip_prefix("slow:")?.parse().ok()?),
        })
    }
}
