//! The shared lowest level of reading: one JSON object's members as raw text, and the decoding of raw scalars.

use super::bind::{BindError, Malformed};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Visits the members of the first JSON value of `text`, in order, as (decoded name, raw text of the value).
///
/// `null` has no members. Anything else that is no object is malformed; what follows the first value is not read.
/// `visit` returns nothing: a bad value is judged only by whoever asks for it, so that a later duplicate can replace it.
pub(super) fn members<'de, F>(text: &'de str, visit: F) -> Result<(), Malformed>
where
    F: FnMut(Cow<'de, str>, &'de str),
{
    let mut input = serde_json::Deserializer::from_str(text);
    Members(visit)
        .deserialize(&mut input)
        .map_err(|_| Malformed)
}

/// As [`members`], but only those whose name `wanted` accepts are kept; the rest is skipped without being buffered.
pub(super) fn chosen_members<'de, K, W, F>(
    text: &'de str,
    wanted: W,
    visit: F,
) -> Result<(), Malformed>
where
    W: Fn(&str) -> Option<K>,
    F: FnMut(K, &'de str),
{
    let mut input = serde_json::Deserializer::from_str(text);
    Chosen { wanted, visit }
        .deserialize(&mut input)
        .map_err(|_| Malformed)
}

struct Members<F>(F);

impl<'de, F: FnMut(Cow<'de, str>, &'de str)> DeserializeSeed<'de> for Members<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de, F: FnMut(Cow<'de, str>, &'de str)> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object or null")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        // Names are read as raw text too: serde_json's own strings refuse lone surrogates, which Go accepts.
        while let Some(name) = map.next_key::<&RawValue>()? {
            let value = map.next_value::<&RawValue>()?;
            (self.0)(unquote(name.get()).unwrap_or_default(), value.get());
        }
        Ok(())
    }
}

struct Chosen<W, F> {
    wanted: W,
    visit: F,
}

impl<'de, K, W: Fn(&str) -> Option<K>, F: FnMut(K, &'de str)> DeserializeSeed<'de>
    for Chosen<W, F>
{
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de, K, W: Fn(&str) -> Option<K>, F: FnMut(K, &'de str)> Visitor<'de> for Chosen<W, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object or null")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<&RawValue>()? {
            match unquote(name.get()).and_then(|name| (self.wanted)(&name)) {
                Some(key) => (self.visit)(key, map.next_value::<&RawValue>()?.get()),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Whether `given` names the member `name` (ASCII): Go folds case, and with it the long s and the Kelvin sign.
pub(super) fn same_name(given: &str, name: &str) -> bool {
    if given.eq_ignore_ascii_case(name) {
        return true;
    }
    !given.is_ascii() && given.chars().map(fold).eq(name.chars().map(fold))
}

fn fold(c: char) -> char {
    match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    }
}

/// The body as text; invalid UTF-8 becomes U+FFFD as in Go, and costs a copy only when there is any.
pub(super) fn text_of(body: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(body)
}

/// The value of a raw JSON string, `None` when `raw` is no string. A lone surrogate reads as U+FFFD.
pub(super) fn unquote(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        out.push_str(rest.get(..at)?);
        rest = unescape(rest.get(at + 1..)?, &mut out)?;
    }
    out.push_str(rest);
    Some(Cow::Owned(out))
}

/// Decodes one escape whose backslash is already consumed; returns what follows it.
fn unescape<'a>(text: &'a str, out: &mut String) -> Option<&'a str> {
    let mut chars = text.chars();
    let plain = match chars.next()? {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => return unescape_unit(chars.as_str(), out),
        c @ ('"' | '\\' | '/') => c,
        _ => return None,
    };
    out.push(plain);
    Some(chars.as_str())
}

fn unescape_unit<'a>(text: &'a str, out: &mut String) -> Option<&'a str> {
    let (unit, rest) = hex_unit(text)?;
    if (0xd800..0xdc00).contains(&unit)
        && let Some((low, after)) = rest.strip_prefix("\\u").and_then(hex_unit)
        && (0xdc00..0xe000).contains(&low)
    {
        let code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        return Some(after);
    }
    out.push(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
    Some(rest)
}

/// JSON text whose escaped surrogates all have their other half; one that has none reads as U+FFFD. Agents write
/// them, and a strict reader would refuse the whole answer for one.
pub(in crate::legacy) fn paired(text: &str) -> Cow<'_, str> {
    if !text.contains("\\ud") && !text.contains("\\uD") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (plain, escape) = rest.split_at(at);
        out.push_str(plain);
        let length = escape_length(escape);
        match escape.get(..length) {
            Some(whole) if length == 6 && is_surrogate(whole) => out.push_str("\\ufffd"),
            Some(whole) => out.push_str(whole),
            None => {
                out.push_str(escape);
                return Cow::Owned(out);
            }
        }
        rest = escape.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Bytes of the escape at the beginning of `text`; of both halves of a pair.
fn escape_length(text: &str) -> usize {
    match text.strip_prefix("\\u").and_then(hex_unit) {
        Some((unit, rest)) if (0xd800..0xdc00).contains(&unit) => {
            let low = rest.strip_prefix("\\u").and_then(hex_unit);
            match low {
                Some((low, _)) if (0xdc00..0xe000).contains(&low) => 12,
                _ => 6,
            }
        }
        Some(_) => 6,
        None => 2,
    }
}

fn is_surrogate(escape: &str) -> bool {
    let unit = escape.strip_prefix("\\u").and_then(hex_unit);
    unit.is_some_and(|(unit, _)| (0xd800..0xe000).contains(&unit))
}

fn hex_unit(text: &str) -> Option<(u32, &str)> {
    let digits = text.get(..4)?;
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    Some((u32::from_str_radix(digits, 16).ok()?, text.get(4..)?))
}

// === typed reading of one raw value; `null` is `None` ===

pub(super) fn string(raw: &str) -> Result<Option<String>, Malformed> {
    if raw == "null" {
        return Ok(None);
    }
    unquote(raw).map(|s| Some(s.into_owned())).ok_or(Malformed)
}

/// Go's integers: `-0` is one; `1.0`, `1e3`, `"1"` and what i64 cannot hold are not.
pub(super) fn integer(raw: &str) -> Result<Option<i64>, Malformed> {
    if raw == "null" {
        return Ok(None);
    }
    raw.parse().map(Some).map_err(|_| Malformed)
}

pub(super) fn integer_i32(raw: &str, field: &'static str) -> Result<Option<i32>, BindError> {
    let wide = integer(raw)?;
    wide.map(|n| i32::try_from(n).map_err(|_| BindError::OutOfRange { field }))
        .transpose()
}

pub(super) fn float(raw: &str) -> Result<Option<f64>, Malformed> {
    if raw == "null" {
        return Ok(None);
    }
    // `parse` also knows "inf" and "nan"; a raw JSON number starts with a digit or a minus, those two never do.
    if !raw.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return Err(Malformed);
    }
    let number: f64 = raw.parse().map_err(|_| Malformed)?;
    if number.is_finite() {
        Ok(Some(number))
    } else {
        Err(Malformed)
    }
}

pub(super) fn boolean(raw: &str) -> Result<Option<bool>, Malformed> {
    match raw {
        "null" => Ok(None),
        "true" => Ok(Some(true)),
        "false" => Ok(Some(false)),
        _ => Err(Malformed),
    }
}

pub(super) fn array(raw: &str) -> Result<Option<Vec<String>>, Malformed> {
    if raw == "null" {
        return Ok(None);
    }
    let mut input = serde_json::Deserializer::from_str(raw);
    let items = Vec::<&RawValue>::deserialize(&mut input).map_err(|_| Malformed)?;
    Ok(Some(
        items
            .into_iter()
            .map(|item| item.get().to_owned())
            .collect(),
    ))
}
