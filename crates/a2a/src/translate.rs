//! 0.3 read as 1.0, and 1.0 as 0.3: params, results, events of streams, errors.
//!
//! What both versions have is renamed and moved; what only one has is kept as an
//! unknown member where that harms no reader, so that it survives the way back.
//! What is lost, and why:
//!
//! * `final` of 0.3's status events: 1.0 says it by the state. On the way down
//!   it is true for terminal states.
//! * Authentication schemes of a webhook beyond the first: 1.0 has one.
//! * `nextPageToken` of a list of webhooks: 0.3 answers with an array.
//! * Members that would make a second content of a 1.0 part.
//! * Timestamps that are none: 1.0's readers would refuse the whole message.
//! * `tenant` on the way down; it routes, and 0.3 has no such thing. On the way
//!   up the agent's own is set by whoever knows its card
//!   ([`crate::card::Spoken`]).
//!
//! Translation is no validation: what is wrong but readable is left for the
//! receiver to refuse. A result of `GetExtendedAgentCard` is a card, and
//! published like one ([`crate::card::publish`]); here it passes as it is.

mod down;
mod names;
mod time;
mod up;

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::error::{ERROR_INFO, Error, ErrorKind};
use crate::method::Method;
use crate::object::Misshapen;
use crate::version::Version;

/// The JSON type of whatever has no type of its own, in an `error.data` of 1.0.
const ANY_VALUE: &str = "type.googleapis.com/google.protobuf.Value";

/// The params of a request, as JSON. Between equal versions they stay byte for
/// byte; absent ones become `{}`.
///
/// # Errors
/// `InvalidParams` if what the other version needs is not there.
pub fn params<'a>(
    method: Method,
    (from, to): (Version, Version),
    params: Option<&'a RawValue>,
) -> Result<Cow<'a, str>, Error> {
    let text = params.map_or("{}", RawValue::get);
    if from == to {
        return Ok(Cow::Borrowed(text));
    }
    let invalid = |why: Misshapen| Error::new(ErrorKind::InvalidParams, why.0);
    let value = serde_json::from_str(text)
        .map_err(|error| Error::new(ErrorKind::InvalidParams, format!("params: {error}")))?;
    let told = match to {
        Version::V10 => up::params(method, value),
        Version::V03 => down::params(method, value),
    };
    Ok(Cow::Owned(told.map_err(invalid)?.to_string()))
}

/// The result of a call, or of one event of its stream, as JSON. Between equal
/// versions it stays byte for byte.
///
/// # Errors
/// `InvalidAgentResponse` if it is not a result of this method.
pub fn result(
    method: Method,
    (from, to): (Version, Version),
    result: &RawValue,
) -> Result<Cow<'_, str>, Error> {
    if from == to {
        return Ok(Cow::Borrowed(result.get()));
    }
    let invalid = |why: Misshapen| Error::new(ErrorKind::InvalidAgentResponse, why.0);
    let value = serde_json::from_str(result.get()).map_err(|error| {
        let message = format!("the agent's result: {error}");
        Error::new(ErrorKind::InvalidAgentResponse, message)
    })?;
    let told = match to {
        Version::V10 => up::result(method, value),
        Version::V03 => down::result(method, value),
    };
    Ok(Cow::Owned(told.map_err(invalid)?.to_string()))
}

/// The `error` member of a response. 1.0 wants `data` to be an array of typed
/// objects, with the reason among them; 0.3 takes anything.
#[must_use]
pub fn error((from, to): (Version, Version), mut error: Value) -> Value {
    let Some(members) = error.as_object_mut() else {
        return error;
    };
    match (from, to) {
        (Version::V03, Version::V10) => {
            let code = members.get("code").and_then(Value::as_i64);
            let kind = ErrorKind::from_jsonrpc(code.unwrap_or_default());
            let old = members.remove("data").filter(|data| !data.is_null());
            if let Some(data) = typed(kind, old) {
                members.insert("data".to_owned(), data);
            }
        }
        (Version::V10, Version::V03) => {
            let plain = members.get("data").and_then(untyped);
            if let Some(plain) = plain {
                members.insert("data".to_owned(), plain);
            }
        }
        _ => {}
    }
    error
}

/// `error.data` of 1.0, if there is anything to say.
fn typed(kind: ErrorKind, old: Option<Value>) -> Option<Value> {
    let is_typed = |data: &Value| {
        let entries = data.as_array();
        entries.is_some_and(|all| !all.is_empty() && all.iter().all(|one| one["@type"].is_string()))
    };
    if old.as_ref().is_some_and(is_typed) {
        return old;
    }
    let info = kind.is_of_a2a().then(|| {
        let domain = crate::error::DOMAIN;
        json!({"@type": ERROR_INFO, "reason": kind.reason(), "domain": domain})
    });
    let old = old.map(|value| json!({"@type": ANY_VALUE, "value": value}));
    let entries: Vec<Value> = info.into_iter().chain(old).collect();
    (!entries.is_empty()).then_some(Value::Array(entries))
}

/// What [`typed`] wrapped.
fn untyped(data: &Value) -> Option<Value> {
    let mut entries = data.as_array()?.iter();
    let wrapped = entries.find(|entry| entry["@type"] == ANY_VALUE)?;
    wrapped.get("value").cloned()
}
