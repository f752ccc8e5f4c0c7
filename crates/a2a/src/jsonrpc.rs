//! JSON-RPC 2.0 as A2A uses it: one object a request, no batches, no
//! notifications, params by name.
//!
//! Params and results are kept as the bytes that they are: what needs no
//! translation is passed on unread.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind};

/// The id of a request, as the JSON text that the caller wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id<'a>(Cow<'a, str>);

impl<'a> Id<'a> {
    /// The id of whoever gave none, or none that can be read.
    pub const NULL: Id<'static> = Id(Cow::Borrowed("null"));

    /// The id with this text.
    #[must_use]
    pub fn text(text: &str) -> Id<'static> {
        Id(Cow::Owned(Value::from(text).to_string()))
    }

    /// JSON: a string, a number or `null`, byte for byte.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// Lives on after the request's bytes.
    #[must_use]
    pub fn into_owned(self) -> Id<'static> {
        Id(Cow::Owned(self.0.into_owned()))
    }

    fn read(raw: Option<&'a RawValue>) -> Option<Self> {
        let Some(raw) = raw else {
            return Some(Self::NULL);
        };
        let text = raw.get();
        match text.as_bytes().first()? {
            b'"' | b'-' | b'0'..=b'9' | b'n' => Some(Self(Cow::Borrowed(text))),
            _ => None,
        }
    }
}

/// A request whose envelope is right.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// To be repeated in the response.
    pub id: Id<'a>,
    /// The operation's name, see [`crate::Method::from_name`].
    pub method: Cow<'a, str>,
    /// An object, unread.
    pub params: Option<&'a RawValue>,
}

/// Why a request was not read, and the id to say so under.
#[derive(Debug, Clone)]
pub struct Refused<'a> {
    /// The request's, if it can be read.
    pub id: Id<'a>,
    /// `Parse`, `InvalidRequest` or `InvalidParams`.
    pub error: Error,
}

impl Refused<'_> {
    /// The response's body.
    #[must_use]
    pub fn body(&self) -> String {
        error_body(&self.id, &self.error)
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// A result may be `null`, which is not the same as none.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

impl<'a> Envelope<'a> {
    /// Tells what is not JSON from what is not an envelope: the first error that
    /// a reader of structs meets may be either.
    fn read(body: &'a [u8]) -> Result<Self, Error> {
        let whole: &RawValue = serde_json::from_slice(body)
            .map_err(|error| Error::new(ErrorKind::Parse, format!("not JSON: {error}")))?;
        serde_json::from_str(whole.get())
            .map_err(|_| Error::new(ErrorKind::InvalidRequest, "not an object of JSON-RPC 2.0"))
    }

    fn is_version_2(&self) -> bool {
        self.jsonrpc.and_then(string).as_deref() == Some("2.0")
    }
}

/// The text of a JSON string; nothing for another value.
fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let text = raw.get();
    let plain = text.strip_prefix('"')?.strip_suffix('"')?;
    if plain.contains('\\') {
        return serde_json::from_str(text).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(plain))
}

fn is_null(raw: &RawValue) -> bool {
    raw.get() == "null"
}

/// Reads a request. An absent id is `null`: A2A has no notifications, each
/// request is answered. `params` may be absent or `null` where an operation has
/// none; translation refuses what an operation needs and does not get.
///
/// # Errors
/// With the id of the response, and `Parse`, `InvalidRequest` or
/// `InvalidParams`.
pub fn parse_request(body: &[u8]) -> Result<Request<'_>, Refused<'_>> {
    let null = |error| Refused {
        id: Id::NULL,
        error,
    };
    let envelope = Envelope::read(body).map_err(null)?;
    let Some(id) = Id::read(envelope.id) else {
        let message = "id must be a string, a number or null";
        return Err(null(Error::new(ErrorKind::InvalidRequest, message)));
    };
    let refuse = |kind, message: &str| Refused {
        id: id.clone(),
        error: Error::new(kind, message),
    };
    if !envelope.is_version_2() {
        let message = "jsonrpc must be exactly \"2.0\"";
        return Err(refuse(ErrorKind::InvalidRequest, message));
    }
    let Some(method) = envelope.method.and_then(string) else {
        return Err(refuse(ErrorKind::InvalidRequest, "method must be a string"));
    };
    let params = envelope.params.filter(|params| !is_null(params));
    if params.is_some_and(|params| !params.get().starts_with('{')) {
        return Err(refuse(ErrorKind::InvalidParams, "params must be an object"));
    }
    Ok(Request { id, method, params })
}

/// What an agent answered: the envelope is right, the rest is unread.
#[derive(Debug, Clone, Copy)]
pub enum Response<'a> {
    /// The `result` member.
    Result(&'a RawValue),
    /// The `error` member, see [`Error::from_json`].
    Error(&'a RawValue),
}

/// Reads an agent's response, or one event of its stream. Agents of 0.3 are
/// known to leave `jsonrpc` out and to give another id; neither is asked for.
///
/// # Errors
/// `InvalidAgentResponse` if there is neither a result nor an error.
pub fn parse_response(body: &[u8]) -> Result<Response<'_>, Error> {
    let wrong = |why: &str| {
        let message = format!("the agent's answer is not JSON-RPC: {why}");
        Error::new(ErrorKind::InvalidAgentResponse, message)
    };
    let envelope = Envelope::read(body).map_err(|error| wrong(error.message()))?;
    if let Some(error) = envelope.error.filter(|error| !is_null(error)) {
        return Ok(Response::Error(error));
    }
    envelope
        .result
        .map(Response::Result)
        .ok_or_else(|| wrong("neither result nor error"))
}

/// A request's body. `params` is JSON.
#[must_use]
pub fn request_body(id: &Id<'_>, method: &str, params: Option<&str>) -> String {
    let method = Value::from(method);
    let id = id.as_json();
    match params {
        Some(params) => {
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{method},"params":{params}}}"#)
        }
        None => format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{method}}}"#),
    }
}

/// The body of a response that has a result. `result` is JSON.
#[must_use]
pub fn result_body(id: &Id<'_>, result: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#,
        id.as_json()
    )
}

/// The body of a response that has an error.
#[must_use]
pub fn error_body(id: &Id<'_>, error: &Error) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{},"error":{}}}"#,
        id.as_json(),
        error.to_json()
    )
}
