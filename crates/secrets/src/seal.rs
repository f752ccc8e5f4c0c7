//! Secrets at rest: AES-256-GCM, the nonce in front (contract/auth.md,
//! "Secrets encryption").

use std::fmt;
use std::sync::Arc;

use aes_gcm::aead::{Aead as _, OsRng};
use aes_gcm::{AeadCore as _, Aes256Gcm, KeyInit as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use candor_kernel::{Error, Reason};

/// `encryption_version` of what is stored as it is.
const PLAIN: i32 = 0;
/// `encryption_version` of AES-256-GCM.
const SEALED: i32 = 1;
/// Bytes of the nonce in front.
const NONCE: usize = 12;

/// Seals secrets with the installation's key, if there is one, and opens what that key or
/// the one before it sealed.
#[derive(Clone, Default)]
pub struct Sealer {
    current: Option<Arc<Aes256Gcm>>,
    previous: Option<Arc<Aes256Gcm>>,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (&self.current, &self.previous) {
            (None, _) => "Sealer(none)",
            (Some(_), None) => "Sealer(key)",
            (Some(_), Some(_)) => "Sealer(key, previous key)",
        })
    }
}

/// A key is neither 32 bytes nor base64 of 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidKey;

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secrets encryption key must be 32 bytes, as they are or in base64")
    }
}

impl std::error::Error for InvalidKey {}

impl Sealer {
    /// Reads the keys as the legacy platform does: 32 raw bytes, or base64. An empty text
    /// is no key.
    ///
    /// # Errors
    /// [`InvalidKey`] for any other length.
    pub fn new(current: &str, previous: &str) -> Result<Self, InvalidKey> {
        Ok(Self {
            current: cipher(current)?,
            previous: cipher(previous)?,
        })
    }

    /// Whether what is stored from now on is sealed.
    #[must_use]
    pub const fn has_key(&self) -> bool {
        self.current.is_some()
    }

    /// The bytes to store and their `encryption_version`: 1 sealed, 0 plain.
    ///
    /// # Errors
    /// `INTERNAL` when the cipher refuses, with the key's name.
    pub fn seal(&self, key: &str, value: &str) -> Result<(Vec<u8>, i32), Error> {
        let Some(cipher) = &self.current else {
            return Ok((value.as_bytes().to_vec(), PLAIN));
        };
        let nonce = Aes256Gcm::generate_nonce(&mut OsRng);
        let sealed = cipher
            .encrypt(&nonce, value.as_bytes())
            .map_err(|_| Error::internal(format!("failed to encrypt secret: {key}")))?;
        Ok(([nonce.as_slice(), &sealed].concat(), SEALED))
    }

    /// The value of what is stored.
    ///
    /// # Errors
    /// `SECRET_UNREADABLE` when no key of now opens it, or it is no text; with the key's
    /// name.
    pub fn open(&self, key: &str, stored: &[u8], version: i32) -> Result<String, Error> {
        let bytes = match version {
            PLAIN => Some(stored.to_vec()),
            SEALED => [&self.current, &self.previous]
                .into_iter()
                .flatten()
                .find_map(|cipher| opened(cipher, stored)),
            _ => None,
        };
        bytes
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| {
                Error::new(
                    Reason::SecretUnreadable,
                    format!("failed to decrypt secret: {key}"),
                )
            })
    }

    /// Whether the key of now is set and is not what sealed this.
    #[must_use]
    pub fn is_outdated(&self, stored: &[u8], version: i32) -> bool {
        let Some(current) = &self.current else {
            return false;
        };
        version != SEALED || opened(current, stored).is_none()
    }
}

fn cipher(text: &str) -> Result<Option<Arc<Aes256Gcm>>, InvalidKey> {
    if text.is_empty() {
        return Ok(None);
    }
    let raw = if text.len() == 32 {
        text.as_bytes().to_vec()
    } else {
        STANDARD.decode(text).map_err(|_| InvalidKey)?
    };
    let cipher = Aes256Gcm::new_from_slice(&raw).map_err(|_| InvalidKey)?;
    Ok(Some(Arc::new(cipher)))
}

fn opened(cipher: &Aes256Gcm, stored: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = stored.split_at_checked(NONCE)?;
    cipher.decrypt(nonce.into(), sealed).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";
    const NEXT: &str = "fedcba9876543210fedcba9876543210";

    fn sealer(current: &str, previous: &str) -> Sealer {
        Sealer::new(current, previous).unwrap()
    }

    #[test]
    fn without_a_key_values_are_stored_as_they_are() {
        let none = sealer("", "");
        assert_eq!(none.seal("K", "v").unwrap(), (b"v".to_vec(), 0));
        assert_eq!(none.open("K", b"v", 0).unwrap(), "v");
        assert!(!none.has_key() && !none.is_outdated(b"v", 0));
    }

    #[test]
    fn with_a_key_the_nonce_stands_in_front_of_what_only_the_key_opens() {
        let one = sealer(KEY, "");
        let (sealed, version) = one.seal("K", "secret").unwrap();
        assert_eq!(version, 1);
        let (nonce, body) = sealed.split_at(12);
        let cipher = Aes256Gcm::new_from_slice(KEY.as_bytes()).unwrap();
        assert_eq!(cipher.decrypt(nonce.into(), body).unwrap(), b"secret");
        assert_ne!(
            one.seal("K", "secret").unwrap().0,
            sealed,
            "a nonce is used once"
        );
        assert_eq!(one.open("K", &sealed, 1).unwrap(), "secret");
        for other in [sealer("", ""), sealer(NEXT, "")] {
            let refused = other.open("K", &sealed, 1).unwrap_err();
            assert_eq!(refused.reason(), Reason::SecretUnreadable);
            assert_eq!(refused.public(), "failed to decrypt secret: K");
        }
    }

    #[test]
    fn while_keys_change_both_open_and_only_the_new_one_seals() {
        let (old, _) = sealer(KEY, "").seal("K", "v").unwrap();
        let both = sealer(NEXT, KEY);
        assert_eq!(both.open("K", &old, 1).unwrap(), "v");
        assert!(both.is_outdated(&old, 1) && both.is_outdated(b"v", 0));
        let (new, version) = both.seal("K", "v").unwrap();
        assert!(!both.is_outdated(&new, version));
        assert!(sealer(KEY, "").open("K", &new, 1).is_err());
    }

    #[test]
    fn what_was_tampered_with_is_not_opened() {
        let one = sealer(KEY, "");
        let (mut sealed, _) = one.seal("K", "v").unwrap();
        sealed[12] ^= 1;
        assert!(one.open("K", &sealed, 1).is_err());
        assert!(one.open("K", b"short", 1).is_err());
        assert!(one.open("K", b"v", 2).is_err(), "of a later platform");
        assert!(one.open("K", b"\xff", 0).is_err(), "no text");
    }

    #[test]
    fn keys_of_another_length_are_refused() {
        assert_eq!(Sealer::new("short", "").unwrap_err(), InvalidKey);
        assert_eq!(Sealer::new(KEY, "short").unwrap_err(), InvalidKey);
        let base64 = STANDARD.encode(KEY);
        let (sealed, _) = sealer(&base64, "").seal("K", "v").unwrap();
        assert_eq!(sealer(KEY, "").open("K", &sealed, 1).unwrap(), "v");
    }
}
