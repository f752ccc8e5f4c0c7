//! The connection to the engine: every call has a deadline, and every answer is either a
//! status or silence.

use std::path::PathBuf;
use std::time::Duration;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, Docker};
use parking_lot::Mutex;

use crate::backend::BackendError;

/// For calls that only look.
pub(super) const LOOK: Duration = Duration::from_secs(10);
/// For calls that make, fill or start something on a busy disk.
pub(super) const MAKE: Duration = Duration::from_secs(60);
/// Longest text of the engine that is passed on, in bytes.
const LONGEST_TEXT: usize = 1024;
/// The client library's own limit; each call here has a shorter one.
const NEVER_REACHED: u64 = 3600;

/// Why a call came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The engine answered with this status and text.
    Answered(u16, String),
    /// It did not answer, not in time, or not as engines do.
    Silent(String),
}

impl Failure {
    /// Whether the engine says that there is no such thing.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Answered(404, _))
    }

    /// Nothing is known: the step that could not be done, and why.
    pub(super) fn unavailable(self, step: &str) -> BackendError {
        BackendError::Unavailable(match self {
            Self::Answered(_, text) => format!("{step}: {text}"),
            Self::Silent(text) => text,
        })
    }
}

/// What is known of an engine once it answered.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) docker: Docker,
    /// How many CPUs its machine has.
    pub(super) cpus: Option<i64>,
    /// Whether it writes logs to files of its own, which have to be bounded.
    pub(super) logs_to_files: bool,
    /// Whether containers outlive it ("live restore").
    pub(super) restores: bool,
}

/// An engine behind a Unix socket.
pub(super) struct Engine {
    socket: PathBuf,
    connection: Mutex<Option<Connection>>,
}

impl Engine {
    /// Nothing is asked before the first call.
    pub(super) fn at(socket: PathBuf) -> Self {
        Self {
            socket,
            connection: Mutex::new(None),
        }
    }

    /// Makes one call, within its deadline.
    pub(super) async fn call<T, F>(
        &self,
        within: Duration,
        call: impl FnOnce(Docker) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let connection = self.connection().await?;
        let answer = tokio::time::timeout(within, call(connection.docker)).await;
        self.judge(within, answer)
    }

    /// The connection, made and asked about itself at the first call, and again after
    /// silence: what comes back may be another version.
    pub(super) async fn connection(&self) -> Result<Connection, Failure> {
        if let Some(connection) = self.connection.lock().clone() {
            return Ok(connection);
        }
        let answer = tokio::time::timeout(LOOK, self.connect()).await;
        let connection = self.judge(LOOK, answer)?;
        *self.connection.lock() = Some(connection.clone());
        Ok(connection)
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let socket = self.socket.to_string_lossy();
        let docker = Docker::connect_with_unix(&socket, NEVER_REACHED, API_DEFAULT_VERSION)?
            .negotiate_version()
            .await?;
        let about = docker.info().await?;
        let logs = about.logging_driver.as_deref();
        Ok(Connection {
            docker,
            cpus: about.ncpu,
            logs_to_files: logs.is_none_or(|driver| driver == "json-file"),
            restores: about.live_restore_enabled.unwrap_or_default(),
        })
    }

    /// The one place that decides what an answer of the engine means.
    pub(super) fn judge<T>(
        &self,
        within: Duration,
        answer: Result<Result<T, Error>, tokio::time::error::Elapsed>,
    ) -> Result<T, Failure> {
        let silence = match answer {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(Error::DockerResponseServerError {
                status_code,
                message,
            })) => return Err(Failure::Answered(status_code, bounded(&message))),
            // A pull or a log tells of its trouble in the stream.
            Ok(Err(Error::DockerStreamError { error })) => {
                return Err(Failure::Answered(500, bounded(&error)));
            }
            Ok(Err(error)) => bounded(&reason(&error)),
            Err(_) => format!("no answer within {within:?}"),
        };
        *self.connection.lock() = None;
        Err(Failure::Silent(format!(
            "the Docker engine at {} does not answer: {silence}; start it, or name its socket",
            self.socket.display()
        )))
    }
}

/// The innermost reason: what is around it speaks of the library.
fn reason(error: &Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// A text of the engine in the length that people read.
pub(super) fn bounded(text: &str) -> String {
    let text = text.trim();
    if text.len() <= LONGEST_TEXT {
        return text.to_owned();
    }
    let end = (0..=LONGEST_TEXT)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or_default();
    format!("{}…", &text[..end])
}

/// Shorter values are words that occur anyway.
const SHORTEST_SECRET: usize = 6;
/// Of a value with several words, these are taken for keys, and the others for language.
const SHORTEST_KEY: usize = 12;

/// The text without what the instance keeps secret.
pub(super) fn without_secrets<'a>(
    text: &str,
    secrets: impl IntoIterator<Item = &'a str>,
) -> String {
    let parts = |secret: &'a str| {
        let is_one = !secret.contains(char::is_whitespace);
        let least = if is_one {
            SHORTEST_SECRET
        } else {
            SHORTEST_KEY
        };
        let words = secret.split_whitespace();
        words.filter(move |word| word.len() >= least)
    };
    let mut secrets: Vec<&str> = secrets.into_iter().flat_map(parts).collect();
    // One that holds another goes first, or its rest would stay.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets
        .into_iter()
        .fold(text.to_owned(), |text, secret| text.replace(secret, "…"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[tokio::test]
    async fn an_engine_that_is_not_there_is_silence_and_names_its_socket() {
        let engine = Engine::at(PathBuf::from("/nowhere/docker.sock"));
        let failure = engine
            .call(LOOK, |docker| async move { docker.ping().await })
            .await
            .unwrap_err();
        assert!(!failure.is_not_found());
        let text = failure.unavailable("looking").to_string();
        assert!(
            text.contains("/nowhere/docker.sock") && text.contains("start it"),
            "{text}"
        );
    }

    #[test]
    fn secrets_are_taken_out_the_longest_first() {
        let text = "bad value sk-secret-longer for KEY, and sk-secret; tier 1";
        let shown = without_secrets(text, ["sk-secret", "sk-secret-longer", "1"]);
        assert_eq!(shown, "bad value … for KEY, and …; tier 1");
        let pem = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG\n-----END KEY-----";
        let shown = without_secrets("no key: MIIEvQIBADANBgkqhkiG is short", [pem]);
        assert_eq!(shown, "no key: … is short");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let shown = bounded(&"ä".repeat(2000));
        assert!(shown.len() <= LONGEST_TEXT + '…'.len_utf8());
        assert!(shown.ends_with("ä…"));
    }
}
