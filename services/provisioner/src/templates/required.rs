//! What an instance cannot start without (contract/provisioner.md, step 6).

/// The required variables that have no value, with the words for people; nothing if none
/// is missing.
pub(crate) fn missing_env(
    required: &[String],
    has_value: impl Fn(&str) -> bool,
) -> Option<(String, Vec<String>)> {
    let missing = required.iter().filter(|name| !has_value(name));
    let missing: Vec<String> = missing.cloned().collect();
    let text = match missing.as_slice() {
        [] => return None,
        [one] => format!(
            "missing required env var \"{one}\" — add it under Config → Env Vars (or as a Global secret) and retry"
        ),
        several => format!(
            "missing required env vars {} — add them under Config → Env Vars (or as Global secrets) and retry",
            several.join(", ")
        ),
    };
    Some((text, missing))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_missing_is_named_in_order() {
        let required = ["B".to_owned(), "A".to_owned()];
        assert_eq!(missing_env(&[], |_| false), None);
        assert_eq!(missing_env(&required, |_| true), None);
        let (text, missing) = missing_env(&required, |name| name == "A").unwrap();
        assert!(
            text.starts_with("missing required env var \"B\" — add it"),
            "{text}"
        );
        assert_eq!(missing, ["B"]);
        let (text, missing) = missing_env(&required, |_| false).unwrap();
        assert!(
            text.starts_with("missing required env vars B, A — add them"),
            "{text}"
        );
        assert_eq!(missing, ["B", "A"]);
    }
}
