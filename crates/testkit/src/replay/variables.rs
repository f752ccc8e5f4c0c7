//! Takes out of a text what cannot repeat: ids, times, tokens, ports.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// Named values of one story, in the order they were learned.
#[derive(Debug, Clone, Default)]
pub struct Variables(Vec<(String, String)>);

/// Values this short would be replaced where they mean nothing.
const SHORTEST: usize = 4;

// The patterns are constants; a test compiles each of them.
#[allow(clippy::expect_used)]
fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant pattern")
}

static UUID: LazyLock<Regex> =
    LazyLock::new(|| pattern("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"));
static TIME: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})",
    )
});
/// A whole run of the token alphabet; only runs of a token's length are one.
static WORD: LazyLock<Regex> = LazyLock::new(|| pattern("[A-Za-z0-9_-]+"));
static FIELDS: LazyLock<[(Regex, &str); 3]> = LazyLock::new(|| {
    [
        (
            pattern(r#""duration_ms":[0-9]+"#),
            r#""duration_ms":"<ms>""#,
        ),
        (
            pattern(r#""prefix":"[A-Za-z0-9_-]{8}""#),
            r#""prefix":"<prefix>""#,
        ),
        (pattern(r#""seconds_ago":[0-9]+"#), r#""seconds_ago":"<s>""#),
    ]
});
/// 32 bytes in unpadded base64url.
const TOKEN_LENGTH: usize = 43;

impl Variables {
    /// Sets a value; a later one replaces an earlier one of that name.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// The value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// `{{NAME}}` becomes its value.
    #[must_use]
    pub fn fill(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (name, value)| {
            text.replace(&format!("{{{{{name}}}}}"), value)
        })
    }

    /// Takes the value at a dotted path of a JSON answer, if it is there.
    pub fn save(&mut self, name: &str, path: &str, answer: &Value) {
        let found = path.split('.').try_fold(answer, |value, key| match value {
            Value::Array(items) => items.get(key.parse::<usize>().ok()?),
            other => other.get(key),
        });
        match found {
            Some(Value::String(text)) => self.set(name, text.clone()),
            Some(other) => self.set(name, other.to_string()),
            None => {}
        }
    }

    /// Known values become `{{NAME}}`; other ids, times, tokens and durations
    /// become `<uuid>`, `<time>`, `<token>`, `"<ms>"`.
    #[must_use]
    pub fn normalise(&self, text: &str) -> String {
        let mut longest_first: Vec<&(String, String)> = self.0.iter().collect();
        longest_first.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        let mut text = text.to_owned();
        for (name, value) in longest_first {
            if value.len() >= SHORTEST {
                text = text.replace(value.as_str(), &format!("{{{{{name}}}}}"));
            }
        }
        for (name, value) in &self.0 {
            // Container names carry the first 12 characters of an id.
            if let Some(head) = value.get(..12)
                && value.len() == 36
                && UUID.is_match(value)
            {
                text = text.replace(&format!("ws-{head}"), &format!("ws-{{{{{name}:12}}}}"));
            }
        }
        let text = UUID.replace_all(&text, "<uuid>");
        let text = TIME.replace_all(&text, "<time>");
        let text = WORD.replace_all(&text, |word: &regex::Captures<'_>| {
            let word = word.get(0).map_or("", |found| found.as_str());
            let text = if word.len() == TOKEN_LENGTH {
                "<token>"
            } else {
                word
            };
            text.to_owned()
        });
        FIELDS.iter().fold(text.into_owned(), |text, (field, to)| {
            field.replace_all(&text, *to).into_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_cannot_repeat_is_taken_out() {
        let mut variables = Variables::default();
        variables.set("A", "0b9a3c1e-6a57-4ed2-8b39-2f5e8b1f2d10");
        variables.set("S", "abc");
        let text = concat!(
            r#"{"id":"0b9a3c1e-6a57-4ed2-8b39-2f5e8b1f2d10","#,
            r#""other":"1b9a3c1e-6a57-4ed2-8b39-2f5e8b1f2d10","url":"http://ws-0b9a3c1e-6a5:8000","#,
            r#""at":"2026-11-24T14:30:05.123456Z","prefix":"abcd_-12","#,
            r#""token":"0123456789012345678901234567890123456789abc","duration_ms":12,"s":"abc"}"#
        );
        assert_eq!(
            variables.normalise(text),
            concat!(
                r#"{"id":"{{A}}","other":"<uuid>","url":"http://ws-{{A:12}}:8000","#,
                r#""at":"<time>","prefix":"<prefix>","token":"<token>","duration_ms":"<ms>","s":"abc"}"#
            )
        );
    }

    #[test]
    fn a_longer_word_is_no_token() {
        let longer = "x".repeat(TOKEN_LENGTH + 1);
        assert_eq!(Variables::default().normalise(&longer), longer);
    }

    #[test]
    fn saves_by_dotted_path_and_fills() {
        let mut variables = Variables::default();
        variables.save("ID", "tokens.0.id", &json!({"tokens": [{"id": "t-1"}]}));
        variables.save("NONE", "tokens.7.id", &json!({"tokens": []}));
        assert_eq!(variables.fill("/t/{{ID}}/{{NONE}}"), "/t/t-1/{{NONE}}");
    }
}
