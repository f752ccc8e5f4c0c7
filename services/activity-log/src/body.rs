//! Bodies as they are kept: byte for byte up to a limit, then their beginning.

use candor_kernel::Error;
use candor_proto::activity::v1 as pb;
use serde_json::json;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

/// Bytes of a body that are kept as they are (design: section 8).
pub const MOST: usize = 1024 * 1024;
/// Bytes of a longer one that are shown, about.
const HEAD: usize = 64 * 1024;

/// The contents of a body: text where it is text, so that it can be searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// UTF-8 without a NUL.
    Text(String),
    /// Anything else.
    Bytes(Vec<u8>),
}

/// A body as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBody {
    /// Every byte of it.
    pub content: Content,
    /// Whether it is JSON; else it is shown as a text.
    pub is_json: bool,
}

impl StoredBody {
    /// Reads what a writer sent.
    ///
    /// # Errors
    /// A field error for a length or a hash that cannot be.
    pub fn of(field: &'static str, body: pb::Body) -> Result<Self, Error> {
        let sent = body.content.len();
        let whole = usize::try_from(body.total_bytes)
            .map_err(|_| Error::field(field, format!("{field}.total_bytes is negative")))?;
        if whole > sent {
            let is_hash = body.sha256.len() == 64
                && body
                    .sha256
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            if !is_hash {
                return Err(Error::field(
                    field,
                    format!("{field}.sha256 must be 64 lower-case hexadecimal digits"),
                ));
            }
            return Ok(Self::truncated(&body.content, whole, &body.sha256));
        }
        if sent > MOST {
            let hash = hexadecimal(&Sha256::digest(&body.content));
            return Ok(Self::truncated(&body.content, sent, &hash));
        }
        Ok(Self::whole(body.content.into()))
    }

    /// What is made here, kept by the same limit.
    #[must_use]
    pub fn made(content: String) -> Self {
        if content.len() > MOST {
            let hash = hexadecimal(&Sha256::digest(&content));
            return Self::truncated(content.as_bytes(), content.len(), &hash);
        }
        Self::whole(content.into_bytes())
    }

    /// Keeps every byte.
    #[must_use]
    pub fn whole(content: Vec<u8>) -> Self {
        let content = match String::from_utf8(content) {
            Ok(text) if !text.contains('\0') => Content::Text(text),
            Ok(text) => Content::Bytes(text.into_bytes()),
            Err(error) => Content::Bytes(error.into_bytes()),
        };
        let is_json = match &content {
            Content::Text(text) => serde_json::from_str::<&RawValue>(text).is_ok(),
            Content::Bytes(bytes) => is_json_but_for_its_encoding(bytes),
        };
        Self { content, is_json }
    }

    fn truncated(content: &[u8], bytes: usize, sha256: &str) -> Self {
        let mut head = content.get(..HEAD).unwrap_or(content);
        // A character that was cut is left out, what never was one is replaced.
        if let Some(last) = head.utf8_chunks().last()
            && last.invalid().len() < 4
            && head.len() < content.len()
        {
            head = &head[..head.len() - last.invalid().len()];
        }
        let head = String::from_utf8_lossy(head);
        let shown = json!({"truncated": true, "bytes": bytes, "sha256": sha256, "head": head});
        Self::whole(shown.to_string().into_bytes())
    }

    /// What it takes in memory, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        match &self.content {
            Content::Text(text) => text.len(),
            Content::Bytes(bytes) => bytes.len(),
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            Content::Bytes(_) => None,
        }
    }

    /// The bytes of what is no text.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.content {
            Content::Text(_) => None,
            Content::Bytes(bytes) => Some(bytes),
        }
    }
}

/// Agents write JSON whose strings hold bytes of other encodings.
fn is_json_but_for_its_encoding(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    serde_json::from_str::<&RawValue>(&text).is_ok()
}

fn hexadecimal(hash: &[u8]) -> String {
    use std::fmt::Write as _;
    hash.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sent(content: &[u8]) -> pb::Body {
        pb::Body {
            content: content.to_vec().into(),
            ..pb::Body::default()
        }
    }

    #[test]
    fn every_byte_is_kept_up_to_the_limit() {
        for content in [
            &b"{\"n\": 12345678901234567890.10, \"a\":1}"[..],
            b"not json",
            b"nul \0 and \xff",
            b"",
        ] {
            let body = StoredBody::of("request_body", sent(content)).unwrap();
            let kept = body.text().map(str::as_bytes).or(body.bytes()).unwrap();
            assert_eq!(kept, content);
        }
        let large = vec![b'x'; MOST];
        assert_eq!(StoredBody::of("f", sent(&large)).unwrap().size(), MOST);
    }

    #[test]
    fn json_is_told_from_text_whatever_its_encoding() {
        let is_json = |content: &[u8]| StoredBody::whole(content.to_vec()).is_json;
        assert!(is_json(b"{\"a\": \"\\u0000\"}"));
        assert!(is_json(b"{\"a\": \"\xff\"}"));
        assert!(!is_json(b"{\"a\": \"\0\"}"));
        assert!(!is_json(b"plain"));
        assert!(!is_json(b""));
    }

    #[test]
    fn a_longer_one_is_told_by_length_hash_and_head() {
        let large = "é".repeat(MOST);
        let body = StoredBody::of("f", sent(large.as_bytes())).unwrap();
        let shown: serde_json::Value = serde_json::from_str(body.text().unwrap()).unwrap();
        assert_eq!(shown["truncated"], true);
        assert_eq!(shown["bytes"], 2 * MOST);
        assert_eq!(shown["sha256"].as_str().unwrap().len(), 64);
        assert_eq!(shown["head"].as_str().unwrap(), "é".repeat(HEAD / 2));
    }

    #[test]
    fn a_writer_may_send_the_head_alone_and_must_say_what_of() {
        let mut head = sent(b"{\"a\":");
        head.total_bytes = 5_000_000;
        assert!(StoredBody::of("f", head.clone()).is_err());
        head.sha256 = "a".repeat(64);
        let body = StoredBody::of("f", head).unwrap();
        assert!(body.text().unwrap().contains("\"bytes\":5000000"));
        let mut negative = sent(b"");
        negative.total_bytes = -1;
        assert!(StoredBody::of("f", negative).is_err());
    }
}
