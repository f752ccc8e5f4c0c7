//! Reading a request body by the rules of Go's encoding/json (contract/README.md, wire convention 8).

use super::scan;
use std::collections::BTreeMap;

/// The body is no JSON object, or a member has the wrong type. The caller answers with its route's own 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed body")]
pub struct Malformed;

/// Why a body or a member could not be bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// See [`Malformed`].
    #[error("malformed body")]
    Malformed,
    /// A well-formed integer that the column behind it cannot hold (deviation D37: 400 with this reason).
    #[error("{field} is out of range")]
    OutOfRange {
        /// The member's name on the wire.
        field: &'static str,
    },
}

impl From<Malformed> for BindError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// A JSON object of a request, its values kept as raw text so that big numbers and `1000.0` survive.
///
/// Every accessor finds its member in any case, takes the last of duplicates and reads `null` as absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Object {
    members: Vec<(String, String)>,
}

impl Object {
    /// Reads the first JSON value of `body`; what follows it is ignored, `null` is an empty object.
    ///
    /// # Errors
    /// [`Malformed`] for an empty body, broken JSON and every other kind of value.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        Self::parse_text(&scan::text_of(body))
    }

    fn parse_text(text: &str) -> Result<Self, Malformed> {
        let mut members = Vec::new();
        scan::members(text, |name, value| {
            members.push((name.into_owned(), value.to_owned()))
        })?;
        Ok(Self { members })
    }

    /// The raw JSON text of a member, `"null"` included; `None` when it is not there.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&str> {
        self.members
            .iter()
            .rev()
            .find(|(given, _)| scan::same_name(given, name))
            .map(|(_, value)| value.as_str())
    }

    /// Whether the member was sent at all, `null` included.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// All members as they were sent: (name, raw JSON text), duplicates included.
    pub fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        self.members
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn read<T, E>(
        &self,
        name: &str,
        decode: impl FnOnce(&str) -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        self.raw(name).map_or(Ok(None), decode)
    }

    /// A string; a lone surrogate escape in it reads as U+FFFD.
    ///
    /// # Errors
    /// [`Malformed`] when the member is something else.
    pub fn string(&self, name: &str) -> Result<Option<String>, Malformed> {
        self.read(name, scan::string)
    }

    /// A string that must be there and not be empty (gin's `binding:"required"`).
    ///
    /// # Errors
    /// [`Malformed`] when it is absent, `null`, empty or no string.
    pub fn required_string(&self, name: &str) -> Result<String, Malformed> {
        self.string(name)?
            .filter(|text| !text.is_empty())
            .ok_or(Malformed)
    }

    /// An integer of 64 bits. `1.5`, `1.0`, `1e3` and `"1"` are none.
    ///
    /// # Errors
    /// [`Malformed`] when the member is something else or too big.
    pub fn integer_i64(&self, name: &str) -> Result<Option<i64>, Malformed> {
        self.read(name, scan::integer)
    }

    /// An integer bound for an `integer` column.
    ///
    /// # Errors
    /// [`BindError::OutOfRange`] beyond 32 bits, [`BindError::Malformed`] beyond 64 bits or for another type.
    pub fn integer_i32(&self, name: &'static str) -> Result<Option<i32>, BindError> {
        self.read(name, |raw| scan::integer_i32(raw, name))
    }

    /// A finite number.
    ///
    /// # Errors
    /// [`Malformed`] when the member is something else or beyond what a double holds.
    pub fn float(&self, name: &str) -> Result<Option<f64>, Malformed> {
        self.read(name, scan::float)
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// [`Malformed`] when the member is something else.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, Malformed> {
        self.read(name, scan::boolean)
    }

    /// A nested object.
    ///
    /// # Errors
    /// [`Malformed`] when the member is something else.
    pub fn object(&self, name: &str) -> Result<Option<Self>, Malformed> {
        self.read(name, |raw| {
            if raw == "null" {
                Ok(None)
            } else {
                Self::parse_text(raw).map(Some)
            }
        })
    }

    /// An array, each item as raw JSON text.
    ///
    /// # Errors
    /// [`Malformed`] when the member is something else.
    pub fn array(&self, name: &str) -> Result<Option<Vec<String>>, Malformed> {
        self.read(name, scan::array)
    }

    /// An object whose values are all strings; its own names keep their case, a `null` value reads as empty.
    ///
    /// # Errors
    /// [`Malformed`] when the member or one of its values is something else.
    pub fn string_map(&self, name: &str) -> Result<Option<BTreeMap<String, String>>, Malformed> {
        let Some(object) = self.object(name)? else {
            return Ok(None);
        };
        let mut map = BTreeMap::new();
        for (key, raw) in object.members {
            map.insert(key, scan::string(&raw)?.unwrap_or_default());
        }
        Ok(Some(map))
    }
}
