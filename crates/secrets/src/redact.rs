//! Takes secrets out of texts before they are stored
//! (contract/neighbours.md, "Redaction before storage").

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

/// Patterns in their order, each with the label that replaces a match.
const PATTERNS: [(&str, &str); 7] = [
    (r"(?i)[A-Za-z0-9_]*_API_KEY\s*=\s*\S+", "API_KEY"),
    (r"(?i)[A-Za-z0-9_]*_TOKEN\s*=\s*\S+", "TOKEN"),
    (r"(?i)[A-Za-z0-9_]*_SECRET\s*=\s*\S+", "SECRET"),
    (r"Bearer\s+\S+", "BEARER_TOKEN"),
    (r"sk-[A-Za-z0-9_-]{16,}", "SK_TOKEN"),
    (r"ctx7_[A-Za-z0-9]+", "CTX7_TOKEN"),
    (r"[A-Za-z0-9+/]{33,}={0,2}", "BASE64_BLOB"),
];

static COMPILED: LazyLock<Vec<(Regex, String)>> = LazyLock::new(|| {
    PATTERNS
        .iter()
        .filter_map(|(pattern, label)| {
            Regex::new(pattern)
                .ok()
                .map(|regex| (regex, format!("[REDACTED:{label}]")))
        })
        .collect()
});

/// Replaces what looks like a credential.
#[must_use]
pub fn redact(text: &str) -> String {
    let mut out = Cow::Borrowed(text);
    for (regex, label) in COMPILED.iter() {
        if regex.is_match(&out) {
            out = Cow::Owned(regex.replace_all(&out, label.as_str()).into_owned());
        }
    }
    out.into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles_and_fires() {
        assert_eq!(COMPILED.len(), PATTERNS.len());
        for (text, want) in [
            ("export OPENAI_API_KEY = abc", "export [REDACTED:API_KEY]"),
            ("my_token=x y", "[REDACTED:TOKEN] y"),
            ("A_SECRET=1", "[REDACTED:SECRET]"),
            ("Bearer abc", "[REDACTED:BEARER_TOKEN]"),
            ("sk-0123456789abcdef", "[REDACTED:SK_TOKEN]"),
            ("ctx7_abc", "[REDACTED:CTX7_TOKEN]"),
            (
                "0123456789012345678901234567890123456789",
                "[REDACTED:BASE64_BLOB]",
            ),
            (
                "00000000-0000-4000-8000-0000000000aa",
                "00000000-0000-4000-8000-0000000000aa",
            ),
        ] {
            assert_eq!(redact(text), want);
        }
    }
}
