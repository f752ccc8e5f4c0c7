//! A request body whose members keep every byte, also those that are no UTF-8.

use std::borrow::Cow;

use super::bind::{Malformed, Object};
use super::scan;

/// What is read where a byte is no UTF-8; of the same length, so that positions
/// stay, and legal in a JSON text.
const PLACEHOLDER: u8 = b'?';

/// A JSON object of a request with the bytes of its members.
#[derive(Debug)]
pub struct Exact<'a> {
    /// Its members as text; where a byte is no UTF-8 the text is not exact.
    object: Object,
    /// The members' bytes, if any byte of the body is no UTF-8.
    bytes: Option<Vec<(String, &'a [u8])>>,
}

/// Why a text member cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextError {
    /// See [`Malformed`].
    Malformed,
    /// It holds bytes that are no UTF-8.
    NotUtf8,
}

impl<'a> Exact<'a> {
    /// Reads as [`Object::parse`].
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        if std::str::from_utf8(body).is_ok() {
            return Ok(Self {
                object: Object::parse(body)?,
                bytes: None,
            });
        }
        let text = of_same_length(body);
        let mut bytes = Vec::new();
        scan::members(&text, |name, value| {
            let start = value.as_ptr().addr() - text.as_ptr().addr();
            let value = body.get(start..start + value.len()).unwrap_or_default();
            bytes.push((name.into_owned(), value));
        })?;
        Ok(Self {
            object: Object::parse(text.as_bytes())?,
            bytes: Some(bytes),
        })
    }

    /// The object, for members that are neither text nor bodies.
    #[must_use]
    pub const fn object(&self) -> &Object {
        &self.object
    }

    /// The bytes of a member; none when it is absent or `null`.
    #[must_use]
    pub fn body(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let raw = self.object.raw(name).filter(|raw| *raw != "null")?;
        Some(match &self.bytes {
            None => Cow::Borrowed(raw.as_bytes()),
            Some(members) => Cow::Borrowed(find(members, name)?),
        })
    }

    /// A string; empty when it is absent or `null`.
    ///
    /// # Errors
    /// [`TextError`].
    pub fn text(&self, name: &str) -> Result<String, TextError> {
        let bytes = self.bytes.as_ref().and_then(|members| find(members, name));
        if bytes.is_some_and(|bytes| std::str::from_utf8(bytes).is_err()) {
            return Err(TextError::NotUtf8);
        }
        let text = self.object.string(name);
        Ok(text
            .map_err(|Malformed| TextError::Malformed)?
            .unwrap_or_default())
    }
}

/// The last member of a name, as Go reads duplicates.
fn find<'a>(members: &[(String, &'a [u8])], name: &str) -> Option<&'a [u8]> {
    let mut members = members.iter().rev();
    let found = members.find(|(given, _)| scan::same_name(given, name));
    found.map(|(_, bytes)| *bytes)
}

fn of_same_length(body: &[u8]) -> String {
    let mut text = String::with_capacity(body.len());
    for chunk in body.utf8_chunks() {
        text.push_str(chunk.valid());
        for _ in chunk.invalid() {
            text.push(char::from(PLACEHOLDER));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_byte_of_a_body_survives_and_texts_must_be_texts() {
        let sent =
            b"{\"summary\": \"ok\", \"Request_Body\": {\"a\": \"\xff\xc3\"}, \"method\": \"\xfe\"}";
        let exact = Exact::parse(sent).unwrap();
        assert_eq!(exact.text("summary").unwrap(), "ok");
        assert_eq!(exact.text("absent").unwrap(), "");
        assert_eq!(exact.text("method"), Err(TextError::NotUtf8));
        assert_eq!(
            exact.body("request_body").unwrap().as_ref(),
            b"{\"a\": \"\xff\xc3\"}"
        );
        assert!(exact.body("response_body").is_none());
    }

    #[test]
    fn text_is_read_as_ever() {
        let exact = Exact::parse(b"{\"a\": 1.0, \"b\": null, \"c\": 5}").unwrap();
        assert_eq!(exact.body("a").unwrap().as_ref(), b"1.0");
        assert!(exact.body("b").is_none());
        assert_eq!(exact.text("c"), Err(TextError::Malformed));
        assert!(Exact::parse(b"[]").is_err());
        assert!(Exact::parse(b"\xff").is_err());
    }
}
