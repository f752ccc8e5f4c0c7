//! The protocol's errors, with their numbers in each binding.
//!
//! One table for both versions: 0.3 has a part of these errors, under the same
//! JSON-RPC codes. The gRPC and HTTP numbers are those of the specification
//! 1.0.1, section 5.4; 1.0.0 and 0.3 had others for some, which callers over
//! JSON-RPC never see.

mod kind;

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

pub use kind::{ErrorKind, code_of_http, http_of};

/// `google.rpc.ErrorInfo.domain` of the protocol's own errors.
pub const DOMAIN: &str = "a2a-protocol.org";
/// `google.rpc.ErrorInfo.domain` of what the platform in between refuses.
pub const PLATFORM_DOMAIN: &str = "candor";
/// The type of an entry of `error.data` that names a reason.
pub const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";

/// Of a message in a status of gRPC, in bytes.
const MAX_MESSAGE: usize = 1024;
/// Of a reason and of a domain there, in bytes.
const MAX_REASON: usize = 128;
/// Of all facts there, in bytes.
const MAX_FACTS: usize = 1024;

/// An error as it is told to a caller. Every text in it is public.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}", told.message)]
pub struct Error {
    kind: ErrorKind,
    told: Box<Told>,
}

#[derive(Debug, Clone, PartialEq)]
struct Told {
    message: String,
    reason: Cow<'static, str>,
    domain: Cow<'static, str>,
    metadata: HashMap<String, String>,
    /// `error.data` of an agent, kept as it came.
    data: Option<Value>,
}

impl Error {
    /// An error of the protocol.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let domain = match kind {
            ErrorKind::Platform(_) => PLATFORM_DOMAIN,
            _ => DOMAIN,
        };
        let told = Box::new(Told {
            message: message.into(),
            reason: Cow::Borrowed(kind.reason()),
            domain: Cow::Borrowed(domain),
            metadata: HashMap::new(),
            data: None,
        });
        Self { kind, told }
    }

    /// What the platform refuses, or cannot do, before or instead of the agent:
    /// `reason` is its own word for it, in [`PLATFORM_DOMAIN`].
    #[must_use]
    pub fn platform(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        let mut error = Self::new(ErrorKind::Platform(code), message);
        error.told.reason = Cow::Borrowed(reason);
        error
    }

    /// The same, of a status by which a part of the platform refused: its code, its
    /// text, its reason with the facts, and when to come again.
    #[must_use]
    pub fn from_status(status: &Status) -> Self {
        let kind = ErrorKind::Platform(status.code());
        let mut error = Self::new(kind, status.message());
        let details = status.get_error_details();
        if let Some(info) = details.error_info() {
            error.told.reason = Cow::Owned(info.reason.clone());
            error.told.domain = Cow::Owned(info.domain.clone());
            error.told.metadata.clone_from(&info.metadata);
        }
        match details.retry_info().and_then(|retry| retry.retry_delay) {
            Some(after) => error.with("retry_after", after.as_secs_f64().ceil().to_string()),
            None => error,
        }
    }

    /// Adds a fact for machines (`google.rpc.ErrorInfo.metadata`).
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.told.metadata.insert(key.to_owned(), value.into());
        self
    }

    /// What kind of error it is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// For people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.told.message
    }

    /// For machines: `google.rpc.ErrorInfo.reason`.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.told.reason
    }

    /// Whether a reason is worth telling beside the code.
    fn has_info(&self) -> bool {
        self.kind.is_of_a2a()
            || matches!(self.kind, ErrorKind::Platform(_))
            || !self.told.metadata.is_empty()
            || self.told.domain != DOMAIN
    }

    /// The `error` member of a JSON-RPC response (A2A 1.0.1, section 9.5). An
    /// agent's own `data` stays as it came.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut error = json!({"code": self.kind.jsonrpc_code(), "message": self.told.message});
        if let Some(data) = &self.told.data {
            error["data"] = data.clone();
        } else if self.has_info() {
            let mut info = json!({
                "@type": ERROR_INFO, "reason": self.told.reason, "domain": self.told.domain,
            });
            if !self.told.metadata.is_empty() {
                info["metadata"] = json!(self.told.metadata);
            }
            error["data"] = json!([info]);
        }
        error
    }

    /// Reads the `error` member of a JSON-RPC response of either version.
    ///
    /// # Errors
    /// `InvalidAgentResponse` if it has no integer `code`.
    pub fn from_json(error: &Value) -> Result<Self, Self> {
        let Some(code) = error["code"].as_i64() else {
            let message = "the agent's error has no code";
            return Err(Self::new(ErrorKind::InvalidAgentResponse, message));
        };
        let message = error["message"].as_str().unwrap_or_default();
        let mut read = Self::new(ErrorKind::from_jsonrpc(code), message);
        read.told.data = error.get("data").filter(|data| !data.is_null()).cloned();
        if let Some(info) = read.told.data.as_ref().and_then(error_info) {
            read.told.reason = Cow::Owned(info["reason"].as_str().unwrap_or_default().to_owned());
            read.told.domain = Cow::Owned(info["domain"].as_str().unwrap_or_default().to_owned());
            let facts = info["metadata"].as_object();
            read.told.metadata = facts
                .into_iter()
                .flatten()
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect();
        }
        Ok(read)
    }

    /// The same in the gRPC binding, with its reason as `google.rpc.ErrorInfo`
    /// (A2A 1.0.1, section 10.6). It travels in HTTP/2 headers, whose size is
    /// limited: an agent's long words are cut, and its many facts left out.
    #[must_use]
    pub fn to_status(&self) -> Status {
        let told = &self.told;
        let mut details = ErrorDetails::new();
        if self.has_info() {
            let pairs = told.metadata.iter();
            let size: usize = pairs.map(|(key, value)| key.len() + value.len()).sum();
            let facts = if size > MAX_FACTS {
                HashMap::new()
            } else {
                told.metadata.clone()
            };
            details.set_error_info(
                cut(&told.reason, MAX_REASON),
                cut(&told.domain, MAX_REASON),
                facts,
            );
        }
        let message = cut(&told.message, MAX_MESSAGE);
        Status::with_error_details(self.kind.grpc_code(), message, details)
    }
}

/// As many bytes of a text as fit, in whole characters.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// The entry of `error.data` that names the reason.
fn error_info(data: &Value) -> Option<&Value> {
    data.as_array()?
        .iter()
        .find(|entry| entry["@type"] == ERROR_INFO && entry["reason"].is_string())
}
