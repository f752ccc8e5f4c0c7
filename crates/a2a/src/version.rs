//! The protocol's versions, and the header that names one.

use crate::error::{Error, ErrorKind};

/// Header and query parameter of HTTP, in any case; also the metadata key of
/// gRPC (A2A 1.0.1, section 3.6).
pub const HEADER: &str = "a2a-version";

/// A version of the protocol: `Major.Minor`. Patch numbers mean nothing on the
/// wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 0.3: `message/send`, `kind` members, lower case states.
    V03,
    /// 1.0: `SendMessage`, ProtoJSON.
    V10,
}

impl Version {
    /// Every version that is spoken here.
    pub const ALL: [Self; 2] = [Self::V03, Self::V10];

    /// The version that a request's `A2A-Version` asks for. Absent or empty is
    /// 0.3, since that version had no such header.
    ///
    /// # Errors
    /// `VersionNotSupported` for any other version and for what is none.
    pub fn from_header(value: Option<&str>) -> Result<Self, Error> {
        let value = value.map(str::trim).unwrap_or_default();
        if value.is_empty() {
            return Ok(Self::V03);
        }
        Self::parse(value).ok_or_else(|| {
            let message = format!("A2A version {value:?} is not supported: 0.3 and 1.0 are");
            Error::new(ErrorKind::VersionNotSupported, message)
        })
    }

    /// `0.3`, `0.3.0`, `1.0`, `1.0.1`; nothing else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.');
        let (major, minor) = (numbers.next()?, numbers.next()?);
        let patch = numbers.next().unwrap_or("0");
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if numbers.next().is_some() || !is_number(patch) {
            return None;
        }
        match (major, minor) {
            ("0", "3") => Some(Self::V03),
            ("1", "0") => Some(Self::V10),
            _ => None,
        }
    }

    /// As it goes out in `A2A-Version` and in the interfaces of a card.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V03 => "0.3",
            Self::V10 => "1.0",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_read_as_the_protocol_says() {
        let rows = [
            (None, Some(Version::V03)),
            (Some(""), Some(Version::V03)),
            (Some("  "), Some(Version::V03)),
            (Some("0.3"), Some(Version::V03)),
            (Some("0.3.0"), Some(Version::V03)),
            (Some("1.0"), Some(Version::V10)),
            (Some(" 1.0 "), Some(Version::V10)),
            (Some("1.0.3"), Some(Version::V10)),
            (Some("1.0.x"), None),
            (Some("1.0."), None),
            (Some("1.0.1.1"), None),
            (Some("1"), None),
            (Some("1.1"), None),
            (Some("0.2.6"), None),
            (Some("99.0"), None),
            (Some("v1.0"), None),
            (Some("1.0, 0.3"), None),
        ];
        for (header, expected) in rows {
            let read = Version::from_header(header);
            match expected {
                Some(version) => assert_eq!(read.ok(), Some(version), "{header:?}"),
                None => assert_eq!(
                    read.err().map(|error| error.kind()),
                    Some(ErrorKind::VersionNotSupported),
                    "{header:?}"
                ),
            }
        }
    }

    #[test]
    fn a_version_reads_back_as_itself() {
        for version in Version::ALL {
            assert_eq!(Version::parse(version.as_str()), Some(version));
        }
    }
}
