//! One call of the platform's HTTP API, and what came back.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Longest wait for the whole answer of an ordinary call.
const DEADLINE: Duration = Duration::from_secs(10);
/// Longest piece of an answer that is shown in an error, in characters.
const SHOWN: usize = 300;

/// What is asked of the platform.
#[derive(Debug, Clone)]
pub struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Option<Value>,
    pub(super) deadline: Duration,
}

impl Call {
    /// `GET path`; the path begins with `/` and may have a query.
    #[must_use]
    pub fn get(path: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            body: None,
            deadline: DEADLINE,
        }
    }

    /// `POST path` with a JSON body.
    #[must_use]
    pub fn post(path: impl Into<String>, body: Value) -> Self {
        Self {
            method: Method::POST,
            body: Some(body),
            ..Self::get(path)
        }
    }

    /// For calls that wait for an agent.
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }
}

/// What the platform answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// Whether the call did what it should.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON; `null` if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body, read as what it should be.
    ///
    /// # Errors
    /// [`CallError::Unreadable`].
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        serde_json::from_slice(&self.body).map_err(|error| CallError::Unreadable(error.to_string()))
    }

    /// Success, or the error with the platform's words.
    ///
    /// # Errors
    /// [`CallError::Refused`].
    pub fn expect_success(self) -> Result<Self, CallError> {
        if self.is_success() {
            return Ok(self);
        }
        let words = self.json()["error"].as_str().map_or_else(
            || String::from_utf8_lossy(&self.body).into_owned(),
            ToOwned::to_owned,
        );
        Err(CallError::Refused {
            status: self.status,
            words: words.chars().take(SHOWN).collect(),
        })
    }
}

/// Why a call brought nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nobody there: nothing was sent.
    #[error("the platform is not reached: {0}")]
    Unreached(String),
    /// No answer: the connection was lost, or the deadline passed. The call may have
    /// been taken all the same.
    #[error("the platform does not answer: {0}")]
    Unanswered(String),
    /// Another answer than success.
    #[error("the platform answered {status}: {words}")]
    Refused {
        /// The status code.
        status: u16,
        /// Its words.
        words: String,
    },
    /// The answer is larger than this process takes, in bytes.
    #[error("the platform's answer has more than {0} bytes")]
    TooLarge(usize),
    /// The answer is not what it should be.
    #[error("the platform's answer cannot be read: {0}")]
    Unreadable(String),
}

impl CallError {
    /// Whether the platform refused the credential.
    #[must_use]
    pub fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Refused { status: 401, .. })
    }
}
