//! Drops members that Candor adds to an object of the original's.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// An object's members in the order and spelling they were received.
struct Members<'a>(Vec<(String, &'a RawValue)>);

/// `got` less the object members that `wanted` has nowhere at that place; any
/// other text unchanged, byte for byte.
pub(super) fn without_extra(got: &str, wanted: &str) -> String {
    cut(got, wanted).unwrap_or_else(|| got.to_owned())
}

/// `None` when nothing is extra, so that the text stays as it was received.
fn cut(got: &str, wanted: &str) -> Option<String> {
    if let (Some(got), Some(wanted)) = (members(got), members(wanted)) {
        return cut_object(&got, &wanted);
    }
    let (got, wanted) = (items(got)?, items(wanted)?);
    let last = wanted.last()?;
    let mut changed = false;
    let kept: Vec<String> = got
        .iter()
        .enumerate()
        .map(|(at, item)| {
            let wanted = wanted.get(at).unwrap_or(last);
            cut(item.get(), wanted.get()).map_or_else(
                || item.get().to_owned(),
                |shorter| {
                    changed = true;
                    shorter
                },
            )
        })
        .collect();
    changed.then(|| format!("[{}]", kept.join(",")))
}

fn cut_object(got: &Members<'_>, wanted: &Members<'_>) -> Option<String> {
    let mut changed = false;
    let mut kept = Vec::new();
    for (name, value) in &got.0 {
        let Some((_, wanted)) = wanted.0.iter().find(|(known, _)| known == name) else {
            changed = true;
            continue;
        };
        let shorter = cut(value.get(), wanted.get());
        changed |= shorter.is_some();
        let value = shorter.unwrap_or_else(|| value.get().to_owned());
        kept.push(format!(
            "{}:{value}",
            serde_json::Value::from(name.as_str())
        ));
    }
    changed.then(|| format!("{{{}}}", kept.join(",")))
}

fn members(text: &str) -> Option<Members<'_>> {
    serde_json::from_str(text).ok()
}

fn items(text: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(text).ok()
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::without_extra;

    #[test]
    fn drops_only_what_the_recording_lacks() {
        let got = r#"{"epoch":0,"status":"ok","x":[{"a":1.0,"b":"\u003c"},{"a":2,"c":3}]}"#;
        let wanted = r#"{"status":"no","x":[{"a":5,"b":6}]}"#;
        assert_eq!(
            without_extra(got, wanted),
            r#"{"status":"ok","x":[{"a":1.0,"b":"\u003c"},{"a":2}]}"#
        );
    }

    #[test]
    fn text_without_extras_stays_byte_for_byte() {
        for same in [
            "[]",
            r#"{ "a": 1}"#,
            "404 page not found",
            "",
            r#"[{"a":1}]"#,
        ] {
            assert_eq!(without_extra(same, r#"{"a":2}"#), same);
        }
        assert_eq!(without_extra(r#"[{"z":1}]"#, "[]"), r#"[{"z":1}]"#);
    }
}
