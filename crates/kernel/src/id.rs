//! Typed identifiers: mixing two kinds does not compile.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Error;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID that is known to name this kind of thing.
            #[must_use]
            pub const fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }
            /// The bare UUID, for stores and wires.
            #[must_use]
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
            /// Reads the id that a field holds.
            ///
            /// # Errors
            /// A field error that names the field.
            pub fn of_field(field: &'static str, text: &str) -> Result<Self, Error> {
                text.parse()
                    .map_err(|InvalidId| Error::field(field, format!("{field} must be a UUID")))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse(text).map(Self).ok_or(InvalidId)
            }
        }
    };
}

uuid_id!(
    /// The id of a workspace (one agent).
    WorkspaceId
);
uuid_id!(
    /// The id of a stored credential (never the credential itself).
    TokenId
);
uuid_id!(
    /// The id of an activity row; UUIDv7 is best.
    ActivityId
);
uuid_id!(
    /// The id of a structure event; UUIDv7, so ids of one writer sort by time.
    EventId
);

/// The text was not a UUID.
///
/// Hyphenated, 32-hex and braced forms are accepted as the legacy platform
/// does (contract/README.md, wire convention 9); `urn:uuid:` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID")]
pub struct InvalidId;

fn parse(text: &str) -> Option<Uuid> {
    if text.starts_with("urn:") {
        return None;
    }
    Uuid::try_parse(text).ok()
}

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl $name {
            /// The number after this one.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter!(
    /// The number of an instance of a workspace. It only rises.
    Epoch
);
counter!(
    /// Compare-and-set version of a workspace's status, causes and epochs.
    StateVersion
);
counter!(
    /// Compare-and-set version of a workspace's credentials: any issue,
    /// revocation or removal raises it.
    AuthVersion
);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn accepts_the_forms_the_legacy_platform_accepts() {
        let plain: WorkspaceId = "00000000-0000-4000-8000-0000000000aa".parse().unwrap();
        for form in [
            "{00000000-0000-4000-8000-0000000000aa}",
            "000000000000400080000000000000aa",
        ] {
            assert_eq!(form.parse::<WorkspaceId>().unwrap(), plain);
        }
        for bad in ["nope", "", "urn:uuid:00000000-0000-4000-8000-0000000000aa"] {
            assert_eq!(bad.parse::<WorkspaceId>(), Err(InvalidId));
        }
    }
}
