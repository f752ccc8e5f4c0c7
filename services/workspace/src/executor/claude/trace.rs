//! Which tools a turn used: for people while it runs, and as `tool_trace` at its end
//! (contract/a2a.md).

use serde_json::{Value, json};

/// Most entries of a trace; the first ones are kept.
const ENTRIES: usize = 200;
/// Longest preview of an input in the trace, in characters.
const PREVIEW: usize = 500;
/// Longest summary of a use, in characters.
const SUMMARY: usize = 200;
/// Members of an input that say what it is for, the best first.
const TELLING: &[&str] = &[
    "description",
    "command",
    "file_path",
    "notebook_path",
    "path",
    "pattern",
    "url",
    "query",
    "prompt",
];

/// The uses of tools in a turn.
#[derive(Debug, Default)]
pub(super) struct Trace(Vec<Value>);

impl Trace {
    /// One more.
    pub(super) fn add(&mut self, name: &str, input: &Value) {
        if self.0.len() < ENTRIES {
            let input = cut(&input.to_string(), PREVIEW);
            self.0.push(json!({"tool": name, "input": input}));
        }
    }

    /// As the answer tells it; nothing if none was used.
    pub(super) fn told(self) -> Option<Value> {
        (!self.0.is_empty()).then_some(Value::Array(self.0))
    }
}

/// What a tool is used for, in a line.
pub(super) fn summary(input: &Value) -> String {
    let telling = TELLING.iter().find_map(|member| input[*member].as_str());
    let text = telling.map_or_else(|| input.to_string(), str::to_owned);
    cut(text.trim().lines().next().unwrap_or_default(), SUMMARY)
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_told_in_a_line() {
        let both = json!({"command": "ls -l\ncat x", "description": "Look around"});
        assert_eq!(summary(&both), "Look around");
        assert_eq!(summary(&json!({"command": "ls -l\ncat x"})), "ls -l");
        assert_eq!(summary(&json!({"n": 1})), r#"{"n":1}"#);
        assert_eq!(
            summary(&json!({"url": "x".repeat(500)})).chars().count(),
            SUMMARY
        );
    }

    #[test]
    fn a_trace_is_bounded() {
        let mut trace = Trace::default();
        assert_eq!(Trace::default().told(), None);
        for _ in 0..1_000 {
            trace.add("Bash", &json!({"command": "ö".repeat(5_000)}));
        }
        let told = trace.told().unwrap();
        assert_eq!(told.as_array().map(Vec::len), Some(ENTRIES));
        let input = told[0]["input"].as_str().unwrap();
        assert_eq!(input.chars().count(), PREVIEW);
    }
}
