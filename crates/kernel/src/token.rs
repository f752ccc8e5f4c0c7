//! Workspace tokens: format, hash, kinds and states (design: section 4;
//! format and hash are the legacy platform's, contract/auth.md).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Characters of a token shown to people.
pub const PREFIX_LEN: usize = 8;

/// SHA-256 of a token's text: what is stored and looked up.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// Hashes a presented credential. Tokens carry 256 random bits, so a plain
    /// hash is enough.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }
}

impl std::fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

/// A freshly minted token; shown once, never stored, never logged.
#[derive(Clone)]
pub struct TokenText(String);

impl TokenText {
    /// Encodes 32 random bytes; the caller brings the randomness.
    #[must_use]
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self(URL_SAFE_NO_PAD.encode(bytes))
    }
    /// The text to hand out.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
    /// What is stored instead of the text.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }
    /// The first characters, for lists.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.0[..PREFIX_LEN]
    }
}

/// Who minted it, and what ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// Bound to one instance by its epoch.
    Instance,
    /// Speaks for the current instance; ends only by revocation.
    Manual,
}

impl TokenKind {
    /// The stored word.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Manual => "manual",
        }
    }
}

/// Where a token stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenState {
    /// Written for an instance that has not called yet.
    Pending,
    /// In use.
    Active,
    /// Replaced by a newer instance's: authenticates as stale.
    Retired,
    /// Ended: authenticates nowhere.
    Revoked,
}

impl TokenState {
    /// The stored word.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Revoked => "revoked",
        }
    }
}
