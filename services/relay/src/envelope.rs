//! A message as it is sent to an agent: what legacy clients left out is added, and
//! every byte that came stays (contract/a2a.md, "Envelope normalisation";
//! deviation D52).

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use candor_kernel::{Error, Reason};
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use uuid::Uuid;

/// A method's name is shown up to so many bytes.
const LONGEST_METHOD: usize = 200;
/// A message id is known again up to so many bytes.
const LONGEST_ID: usize = 512;

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What the agent is sent.
    pub body: Bytes,
    /// The method's name, as it is logged; empty if it is no text.
    pub method: String,
    /// `params.message.messageId`, if it can name a message.
    pub message_id: Option<String>,
    /// `params.message.metadata.delegation_id`.
    pub delegation_id: Option<String>,
}

impl Envelope {
    /// Reads a request as legacy clients send it, and completes it.
    ///
    /// # Errors
    /// 400 `invalid JSON` for what is no JSON object; `null` stands for an empty one.
    pub fn complete(body: &Bytes) -> Result<Self, Error> {
        let text = std::str::from_utf8(body).map_err(|_| invalid_json())?;
        if text.trim_matches([' ', '\t', '\r', '\n']) == "null" {
            return Self::of("{}", None, true);
        }
        Self::of(text, Some(body), true)
    }

    /// Reads a request to which nothing is added.
    ///
    /// # Errors
    /// 400 `invalid JSON` for what is no JSON object.
    pub fn as_sent(body: &Bytes) -> Result<Self, Error> {
        let text = std::str::from_utf8(body).map_err(|_| invalid_json())?;
        Self::of(text, Some(body), false)
    }

    fn of(text: &str, whole: Option<&Bytes>, completes: bool) -> Result<Self, Error> {
        let top: Members<'_> = serde_json::from_str(text).map_err(|_| invalid_json())?;
        let mut insertions = Vec::new();
        if completes && !top.has("jsonrpc") {
            let mut added = vec![r#""jsonrpc":"2.0""#.to_owned()];
            if !top.has("id") {
                added.push(format!(r#""id":"{}""#, Uuid::new_v4()));
            }
            for member in ["method", "params"] {
                if !top.has(member) {
                    added.push(format!(r#""{member}":null"#));
                }
            }
            insertions.push(Insertion::into(text, text, &top, &added));
        }
        let message = top
            .object("params")
            .and_then(|params| Some((params.text("message")?, params.object("message")?)));
        let mut message_id = None;
        let mut delegation_id = None;
        if let Some((raw, message)) = &message {
            delegation_id = message
                .object("metadata")
                .and_then(|metadata| metadata.string("delegation_id"));
            message_id = message.string("messageId");
            if completes && !message.has("messageId") {
                let id = Uuid::new_v4().to_string();
                let added = [format!(r#""messageId":"{id}""#)];
                insertions.push(Insertion::into(text, raw, message, &added));
                message_id = Some(id);
            }
        }
        let body = match whole {
            Some(whole) if insertions.is_empty() => whole.clone(),
            _ => Bytes::from(insert(text, insertions)),
        };
        Ok(Self {
            body,
            method: shown(&top.string("method").unwrap_or_default()),
            message_id: message_id.filter(|id| names_a_message(id)),
            delegation_id: delegation_id.filter(|id| names_a_message(id)),
        })
    }
}

impl Envelope {
    /// Whether the call changes nothing: it is never queued, and ends with its caller.
    #[must_use]
    pub fn reads_only(&self) -> bool {
        candor_a2a::Method::from_name(&self.method).is_some_and(|(method, _)| method.is_read_only())
    }
}

/// A text that a column and a reader can bear.
fn shown(method: &str) -> String {
    let mut end = method.len().min(LONGEST_METHOD);
    while !method.is_char_boundary(end) {
        end -= 1;
    }
    method
        .get(..end)
        .unwrap_or_default()
        .replace('\0', "\u{fffd}")
}

fn names_a_message(id: &str) -> bool {
    !id.is_empty() && id.len() <= LONGEST_ID && !id.contains('\0')
}

fn invalid_json() -> Error {
    Error::new(Reason::InvalidField, "invalid JSON")
}

/// Members to be written at the beginning of an object.
struct Insertion {
    at: usize,
    text: String,
}

impl Insertion {
    /// For the object that `raw`, a part of `whole`, is.
    fn into(whole: &str, raw: &str, members: &Members<'_>, added: &[String]) -> Self {
        let start = raw.as_ptr() as usize - whole.as_ptr() as usize;
        let brace = raw.find('{').unwrap_or_default();
        let comma = if members.0.is_empty() { "" } else { "," };
        Self {
            at: start + brace + 1,
            text: format!("{}{comma}", added.join(",")),
        }
    }
}

fn insert(text: &str, insertions: Vec<Insertion>) -> String {
    let mut body = String::with_capacity(text.len() + 256);
    let mut from = 0;
    for Insertion { at, text: added } in insertions {
        body.push_str(text.get(from..at).unwrap_or_default());
        body.push_str(&added);
        from = at;
    }
    body.push_str(text.get(from..).unwrap_or_default());
    body
}

/// An object's members as they stand; of two with one name the last one counts.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        let mut members = self.0.iter().rev();
        members.find_map(|(known, value)| (known == name).then_some(*value))
    }
    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
    fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name).map(RawValue::get)
    }
    fn string(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.text(name)?).ok()
    }
    fn object(&self, name: &str) -> Option<Members<'a>> {
        serde_json::from_str(self.text(name)?).ok()
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsMembers;
        impl<'de> Visitor<'de> for AsMembers {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key::<Name<'de>>()? {
                    members.push((name.0, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(AsMembers)
    }
}

/// A member's name, borrowed if it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn complete(text: &str) -> Envelope {
        Envelope::complete(&Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }
    fn sent(text: &str) -> String {
        String::from_utf8(complete(text).body.to_vec()).unwrap()
    }

    #[test]
    fn what_is_complete_keeps_its_bytes() {
        for text in [
            r#" {"jsonrpc":"2.0","id":12345678901234567890,"method":"m","params":{"z":1.50,"a":1e400}} "#,
            r#"{"jsonrpc":"1.0","id":1,"method":"m"}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":5,"params":[1,2]}"#,
            r#"{"jsonrpc":"2.0","method":"message/send","params":{"message":{"messageId":"","x":"<é>"}}}"#,
            r#"{"jsonrpc":null}"#,
        ] {
            assert_eq!(sent(text), text);
        }
    }

    #[test]
    fn what_is_missing_is_added_and_nothing_is_taken() {
        let body = sent(r#" { "extra" : 1.0 , "params":{"message": { } } }"#);
        let value: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(value["jsonrpc"], "2.0");
        assert_eq!(value["method"], Value::Null);
        assert!(body.contains(r#""extra" : 1.0 "#), "{body}");
        let uuid = |value: &Value| value.as_str().unwrap().parse::<Uuid>().unwrap();
        assert_ne!(
            uuid(&value["id"]),
            uuid(&value["params"]["message"]["messageId"])
        );

        for empty in ["{}", "null", " null\n"] {
            let value: Value = serde_json::from_str(&sent(empty)).unwrap();
            assert_eq!(value.as_object().unwrap().len(), 4, "{empty}");
            assert_eq!(value["params"], Value::Null);
        }
        // An id of the client's own stays.
        let kept = sent(r#"{"id":7,"method":"m"}"#);
        assert_eq!(serde_json::from_str::<Value>(&kept).unwrap()["id"], 7);
    }

    #[test]
    fn names_are_read_and_kept_short() {
        let envelope = complete(
            r#"{"method":"message/send","params":{"message":{"messageId":"m-1","metadata":{"delegation_id":"d"}}}}"#,
        );
        assert_eq!(envelope.method, "message/send");
        assert_eq!(envelope.message_id.as_deref(), Some("m-1"));
        assert_eq!(envelope.delegation_id.as_deref(), Some("d"));
        let odd = complete(r#"{"method":"a\u0000b","params":{"message":{"messageId":"x\u0000"}}}"#);
        assert_eq!(odd.method, "a\u{fffd}b");
        assert_eq!(odd.message_id, None);
        let last = complete(r#"{"params":{"message":{"messageId":"a","messageId":"b"}}}"#);
        assert_eq!(last.message_id.as_deref(), Some("b"));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["", "{", "[]", "\"x\"", "5", "{} {}", "{\"a\":}"] {
            let refused = Envelope::complete(&Bytes::copy_from_slice(text.as_bytes()));
            assert_eq!(refused.unwrap_err().public(), "invalid JSON", "{text}");
        }
        assert!(Envelope::complete(&Bytes::from_static(b"{\"a\":\"\xff\"}")).is_err());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_kept_or_refused(text in r#"[ {}\[\],:"a-z0-9]{0,40}"#) {
            if let Ok(envelope) = Envelope::complete(&Bytes::copy_from_slice(text.as_bytes())) {
                let value: Value = serde_json::from_slice(&envelope.body).unwrap();
                prop_assert!(value.get("jsonrpc").is_some());
            }
        }
    }
}
