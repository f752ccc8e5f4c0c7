//! JSON texts that are stored.

use serde_json::value::RawValue;

use crate::Error;

/// Refuses what is no JSON.
///
/// # Errors
/// A field error that names the field.
pub fn is_json<'a>(field: &'static str, text: &'a str) -> Result<&'a RawValue, Error> {
    serde_json::from_str(text).map_err(|_| Error::field(field, format!("{field} is not JSON")))
}

/// Refuses what is no JSON, or JSON that Postgres' `jsonb` cannot hold.
///
/// # Errors
/// A field error that names the field.
pub fn storable(field: &'static str, text: &str) -> Result<(), Error> {
    let raw = is_json(field, text)?;
    bearable(raw.get()).map_err(|problem| Error::field(field, format!("{field} {problem}")))?;
    // The escape may itself be escaped; then a full look is worth its price.
    if raw.get().contains("\\u0000") {
        let value: serde_json::Value = serde_json::from_str(text)
            .map_err(|_| Error::field(field, format!("{field} is not JSON")))?;
        if holds_nul(&value) {
            return Err(Error::field(
                field,
                format!("{field} must not contain NUL characters"),
            ));
        }
    }
    Ok(())
}

/// Levels of nesting that are stored.
const DEEPEST: usize = 512;
/// Postgres prints a number with all its digits: `1e131000` has 131,001.
const LARGEST_EXPONENT: u32 = 308;

/// Refuses JSON that is small to send and large to keep.
fn bearable(json: &str) -> Result<(), &'static str> {
    let (mut depth, mut quoted) = (0_usize, false);
    let mut bytes = json.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => {
                bytes.next();
            }
            _ if quoted => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > DEEPEST {
                    return Err("is nested too deeply");
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            // Outside of texts only numbers and the words true and false have
            // one, and no digit follows in the words.
            b'e' | b'E' => {
                if bytes.peek().is_some_and(|next| matches!(next, b'+' | b'-')) {
                    bytes.next();
                }
                let mut exponent = 0_u32;
                while let Some(digit) = bytes.next_if(u8::is_ascii_digit) {
                    exponent = exponent
                        .saturating_mul(10)
                        .saturating_add(u32::from(digit - b'0'));
                }
                if exponent > LARGEST_EXPONENT {
                    return Err("holds a number that is out of range");
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn holds_nul(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::String(text) => text.contains('\0'),
        serde_json::Value::Array(items) => items.iter().any(holds_nul),
        serde_json::Value::Object(members) => members
            .iter()
            .any(|(name, value)| name.contains('\0') || holds_nul(value)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::storable;

    #[test]
    fn what_is_large_to_keep_is_refused() {
        let deep = format!("{}{}", "[".repeat(513), "]".repeat(513));
        for bad in ["1e131000", "[1E+309]", "[-1.5e-131000]", deep.as_str()] {
            assert!(storable("f", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nul_is_found_in_every_place_and_nowhere_else() {
        for bad in [
            r#"{"a":"\u0000"}"#,
            r#"["x\u0000"]"#,
            r#"{"\u0000":1}"#,
            "{",
            "",
        ] {
            assert!(storable("f", bad).is_err(), "{bad}");
        }
        for good in [
            "null",
            r#"{"a":"\\u0000"}"#,
            "[1.0]",
            "[true,false,1e308,1E-5]",
            r#"["1e999","x\\1e999"]"#,
        ] {
            assert!(storable("f", good).is_ok(), "{good}");
        }
    }
}
