//! The tag of a card, and whether a reader has that card already (A2A 1.0.1, section 8.6).

use sha2::{Digest as _, Sha256};

/// A strong validator of this text, with its quotes (RFC 9110, section 8.8.3).
#[must_use]
pub fn etag(card: &str) -> String {
    let digest = Sha256::digest(card.as_bytes());
    let hex: String = digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"{hex}\"")
}

/// Whether a reader with these `If-None-Match` headers has the card with this tag
/// (RFC 9110, section 13.1.2).
pub fn is_known<'a>(if_none_match: impl IntoIterator<Item = &'a str>, etag: &str) -> bool {
    if_none_match
        .into_iter()
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_known_by_its_tag() {
        for same in ["\"a\"", "W/\"a\"", "\"b\", \"a\"", "*"] {
            assert!(is_known([same], "\"a\""), "{same}");
        }
        for other in ["\"b\"", "a", ""] {
            assert!(!is_known([other], "\"a\""), "{other}");
        }
        assert!(!is_known([], "\"a\""));
        assert!(is_known(["\"b\"", "\"a\""], "\"a\""));
    }

    #[test]
    fn another_card_has_another_tag() {
        assert_eq!(etag("{}"), etag("{}"));
        assert_ne!(etag("{}"), etag("{ }"));
    }
}
