//! Writing answers byte for byte as Go's encoding/json does (contract/README.md, wire conventions 1 to 4).

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Writes one JSON value after another into a string; commas and braces are [`Struct`]'s, [`Map`]'s and [`array`]'s.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    out: String,
}

impl Writer {
    /// An empty writer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A quoted string, escaped as Go does with HTML escaping on.
    pub fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            self.escaped(c);
        }
        self.out.push('"');
    }

    fn escaped(&mut self, c: char) {
        match c {
            '"' => self.out.push_str("\\\""),
            '\\' => self.out.push_str("\\\\"),
            '\n' => self.out.push_str("\\n"),
            '\r' => self.out.push_str("\\r"),
            '\t' => self.out.push_str("\\t"),
            '\u{8}' => self.out.push_str("\\b"),
            '\u{c}' => self.out.push_str("\\f"),
            c if c < ' ' || is_html(c) => self.unicode_escape(c),
            c => self.out.push(c),
        }
    }

    fn unicode_escape(&mut self, c: char) {
        // Writing to a String cannot fail.
        let _ = write!(self.out, "\\u{:04x}", u32::from(c));
    }

    /// A number: whole ones without `.0`, an exponent below 1e-6 and from 1e21 on. What JSON cannot hold is `null`.
    pub fn float(&mut self, number: f64) {
        if !number.is_finite() {
            return self.null();
        }
        let size = number.abs();
        if size != 0.0 && !(1e-6..1e21).contains(&size) {
            let text = format!("{number:e}");
            let signed = if text.contains("e-") {
                text
            } else {
                text.replace('e', "e+")
            };
            self.out.push_str(&signed);
        } else {
            let _ = write!(self.out, "{number}");
        }
    }

    /// An integer.
    pub fn int(&mut self, number: i64) {
        let _ = write!(self.out, "{number}");
    }

    /// `true` or `false`.
    pub fn bool(&mut self, flag: bool) {
        self.out.push_str(if flag { "true" } else { "false" });
    }

    /// `null`.
    pub fn null(&mut self) {
        self.out.push_str("null");
    }

    /// JSON text from elsewhere, such as Postgres' jsonb: blanks dropped, numbers and escapes kept verbatim, and the
    /// characters HTML minds escaped. `text` must be valid JSON; an empty text is written as `null`.
    pub fn json_text(&mut self, text: &str) {
        if text.trim().is_empty() {
            return self.null();
        }
        let (mut quoted, mut after_backslash) = (false, false);
        for c in text.chars() {
            if !quoted && matches!(c, ' ' | '\t' | '\n' | '\r') {
                continue;
            }
            if c == '"' && !after_backslash {
                quoted = !quoted;
            }
            after_backslash = c == '\\' && !after_backslash;
            if is_html(c) {
                self.unicode_escape(c);
            } else {
                self.out.push(c);
            }
        }
    }

    /// What this module has encoded already, unchanged.
    pub fn encoded(&mut self, json: &str) {
        self.out.push_str(json);
    }

    /// The text written.
    #[must_use]
    pub fn finish(self) -> String {
        self.out
    }
}

fn is_html(c: char) -> bool {
    matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}')
}

/// Members of an object, whatever their order: implemented by [`Struct`] and [`Map`].
pub trait Members: Sized {
    /// Adds a member whose value `write` writes: exactly one JSON value.
    #[must_use]
    fn member(self, name: &str, write: impl FnOnce(&mut Writer)) -> Self;

    /// The finished object.
    #[must_use]
    fn finish(self) -> String;

    /// Adds a string.
    #[must_use]
    fn string(self, name: &str, text: &str) -> Self {
        self.member(name, |w| w.string(text))
    }

    /// Adds a string, or `null`.
    #[must_use]
    fn nullable_string(self, name: &str, text: Option<&str>) -> Self {
        self.member(name, |w| match text {
            Some(text) => w.string(text),
            None => w.null(),
        })
    }

    /// Adds an integer.
    #[must_use]
    fn int(self, name: &str, number: i64) -> Self {
        self.member(name, |w| w.int(number))
    }

    /// Adds a number, see [`Writer::float`].
    #[must_use]
    fn float(self, name: &str, number: f64) -> Self {
        self.member(name, |w| w.float(number))
    }

    /// Adds `true` or `false`.
    #[must_use]
    fn bool(self, name: &str, flag: bool) -> Self {
        self.member(name, |w| w.bool(flag))
    }

    /// Adds `null`.
    #[must_use]
    fn null(self, name: &str) -> Self {
        self.member(name, Writer::null)
    }

    /// Adds foreign JSON text, see [`Writer::json_text`].
    #[must_use]
    fn json_text(self, name: &str, text: &str) -> Self {
        self.member(name, |w| w.json_text(text))
    }

    /// Adds what this module has encoded already: a nested object or array.
    #[must_use]
    fn encoded(self, name: &str, json: &str) -> Self {
        self.member(name, |w| w.encoded(json))
    }
}

/// An object that keeps the order of its members, as Go's structs do.
#[derive(Debug, Clone, Default)]
pub struct Struct {
    writer: Writer,
}

impl Struct {
    /// An object without members.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Members for Struct {
    fn member(mut self, name: &str, write: impl FnOnce(&mut Writer)) -> Self {
        self.writer
            .out
            .push(if self.writer.out.is_empty() { '{' } else { ',' });
        self.writer.string(name);
        self.writer.out.push(':');
        write(&mut self.writer);
        self
    }

    fn finish(mut self) -> String {
        self.writer.out.push_str(if self.writer.out.is_empty() {
            "{}"
        } else {
            "}"
        });
        self.writer.finish()
    }
}

/// An object whose members come out sorted by name, as Go's maps do. A name given twice keeps the last value.
#[derive(Debug, Clone, Default)]
pub struct Map {
    members: BTreeMap<String, String>,
}

impl Map {
    /// An object without members.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Members for Map {
    fn member(mut self, name: &str, write: impl FnOnce(&mut Writer)) -> Self {
        let mut writer = Writer::new();
        write(&mut writer);
        self.members.insert(name.to_owned(), writer.finish());
        self
    }

    fn finish(self) -> String {
        let mut object = Struct::new();
        for (name, value) in &self.members {
            object = object.encoded(name, value);
        }
        object.finish()
    }
}

/// An array of values that this module has encoded already; `[]` when there is none.
pub fn array<I>(items: I) -> String
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let mut out = String::from("[");
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push_str(item.as_ref());
    }
    out.push(']');
    out
}

/// The body of every legacy error: `{"error":"<text>"}`.
#[must_use]
pub fn error_body(text: &str) -> String {
    Struct::new().string("error", text).finish()
}
