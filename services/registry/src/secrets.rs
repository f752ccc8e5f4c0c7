//! Secrets at rest: AES-256-GCM, the nonce in front (contract/auth.md,
//! "Secrets encryption").

use std::fmt;
use std::sync::Arc;

use aes_gcm::aead::{Aead as _, OsRng};
use aes_gcm::{AeadCore as _, Aes256Gcm, KeyInit as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use candor_kernel::Error;

/// Names that secrets may not have, since the platform sets them itself
/// (deviation D64).
const RESERVED: &[&str] = &[
    "WORKSPACE_ID",
    "WORKSPACE_NAME",
    "PLATFORM_URL",
    "CONFIGS_DIR",
    "WORKSPACE_CONFIG_PATH",
    "PARENT_ID",
    "TIER",
    "AWARENESS_NAMESPACE",
    "AWARENESS_URL",
    "PLUGINS_DIR",
    "WORKSPACE_DIR",
];

/// Seals secrets with the installation's key, if there is one.
#[derive(Clone, Default)]
pub struct Sealer(Option<Arc<Aes256Gcm>>);

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Sealer(key)"
        } else {
            "Sealer(none)"
        })
    }
}

/// `SECRETS_ENCRYPTION_KEY` is neither 32 bytes nor base64 of 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidKey;

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SECRETS_ENCRYPTION_KEY must be 32 bytes, as they are or in base64")
    }
}

impl std::error::Error for InvalidKey {}

impl Sealer {
    /// Reads the key as the legacy platform does: 32 raw bytes, or base64.
    ///
    /// # Errors
    /// [`InvalidKey`] for any other length.
    pub fn from_key(text: &str) -> Result<Self, InvalidKey> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let raw = if text.len() == 32 {
            text.as_bytes().to_vec()
        } else {
            STANDARD.decode(text).map_err(|_| InvalidKey)?
        };
        let cipher = Aes256Gcm::new_from_slice(&raw).map_err(|_| InvalidKey)?;
        Ok(Self(Some(Arc::new(cipher))))
    }

    /// The bytes to store and their `encryption_version`: 1 sealed, 0 plain.
    ///
    /// # Errors
    /// `INTERNAL` when the cipher refuses, with the key's name.
    pub fn seal(&self, key: &str, value: &str) -> Result<(Vec<u8>, i32), Error> {
        let Some(cipher) = &self.0 else {
            return Ok((value.as_bytes().to_vec(), 0));
        };
        let nonce = Aes256Gcm::generate_nonce(&mut OsRng);
        let sealed = cipher
            .encrypt(&nonce, value.as_bytes())
            .map_err(|_| Error::internal(format!("failed to encrypt secret: {key}")))?;
        Ok(([nonce.as_slice(), &sealed].concat(), 1))
    }
}

/// Refuses names that would override the platform's own variables.
///
/// # Errors
/// A field error that names the key.
pub fn check_name(key: &str) -> Result<(), Error> {
    if RESERVED.contains(&key) {
        return Err(Error::field("secrets", format!("reserved name: {key}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn without_a_key_values_are_stored_as_they_are() {
        let sealer = Sealer::from_key("").unwrap();
        assert_eq!(sealer.seal("K", "v").unwrap(), (b"v".to_vec(), 0));
    }

    #[test]
    fn with_a_key_the_nonce_stands_in_front_of_what_only_the_key_opens() {
        let key = "0123456789abcdef0123456789abcdef";
        let sealer = Sealer::from_key(key).unwrap();
        let (sealed, version) = sealer.seal("K", "secret").unwrap();
        assert_eq!(version, 1);
        let (nonce, body) = sealed.split_at(12);
        let cipher = Aes256Gcm::new_from_slice(key.as_bytes()).unwrap();
        assert_eq!(cipher.decrypt(nonce.into(), body).unwrap(), b"secret");
        assert_ne!(
            sealer.seal("K", "secret").unwrap().0,
            sealed,
            "a nonce is used once"
        );
    }

    #[test]
    fn keys_of_another_length_and_reserved_names_are_refused() {
        assert_eq!(Sealer::from_key("short").unwrap_err(), InvalidKey);
        assert!(check_name("WORKSPACE_ID").is_err());
        assert!(check_name("OPENAI_API_KEY").is_ok());
    }
}
