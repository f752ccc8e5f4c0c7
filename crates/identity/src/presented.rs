//! What a caller presented, before anything is believed.

use std::fmt;

use candor_kernel::WorkspaceId;
use candor_kernel::token::TokenHash;
use http::{HeaderMap, header};
use subtle::ConstantTimeEq as _;

/// The header that names the calling workspace: a check beside a token.
pub(crate) const CLAIM: &str = "x-workspace-id";
/// Prefixes of caller ids that only the platform itself may have.
const RESERVED: [&str; 4] = ["system:", "webhook:", "test:", "channel:"];

/// A caller's credential and claim.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Presented {
    bearer: Option<TokenHash>,
    claimed: Option<String>,
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented")
            .field("bearer", &self.bearer.is_some())
            .field("claimed", &self.claimed)
            .finish()
    }
}

/// What an `X-Workspace-ID` header comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// No header.
    None,
    /// A workspace's id.
    Workspace(WorkspaceId),
    /// Neither an id nor reserved.
    Malformed,
    /// A prefix that only the platform may use.
    Reserved,
}

impl Presented {
    /// Reads `Authorization` and `X-Workspace-ID`. The prefix must be exactly
    /// `Bearer `, the rest is trimmed, an empty one is absent; anything else
    /// counts as no token (contract/README.md, wire convention 11).
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Self {
        // What is no text is still a credential or a claim: a wrong one.
        let text = |name: &str| {
            let value = headers.get(name);
            value.map(|value| String::from_utf8_lossy(value.as_bytes()))
        };
        let bearer = text(header::AUTHORIZATION.as_str());
        let bearer = bearer
            .as_deref()
            .and_then(|value| value.strip_prefix("Bearer "))
            .map(str::trim)
            .filter(|token| !token.is_empty())
            .map(TokenHash::of);
        let claimed = text(CLAIM);
        let claimed = claimed
            .as_deref()
            .map(str::trim)
            .filter(|id| !id.is_empty())
            .map(str::to_owned);
        Self { bearer, claimed }
    }

    /// Takes the identity headers away, so that nothing behind can read them.
    pub fn strip(headers: &mut HeaderMap) {
        headers.remove(header::AUTHORIZATION);
        headers.remove(CLAIM);
    }

    /// The credential's hash, if there is a credential.
    #[must_use]
    pub const fn bearer(&self) -> Option<&TokenHash> {
        self.bearer.as_ref()
    }

    /// The claimed caller id, as sent.
    #[must_use]
    pub fn claimed(&self) -> Option<&str> {
        self.claimed.as_deref()
    }

    /// What the claim comes to.
    #[must_use]
    pub fn claim(&self) -> Claim {
        match self.claimed.as_deref() {
            None => Claim::None,
            Some(id) if RESERVED.iter().any(|prefix| id.starts_with(prefix)) => Claim::Reserved,
            Some(id) => id.parse().map_or(Claim::Malformed, Claim::Workspace),
        }
    }

    /// Compares the credential with a secret, in constant time.
    pub(crate) fn is(&self, secret: &TokenHash) -> bool {
        self.bearer
            .is_some_and(|bearer| bearer.0.ct_eq(&secret.0).into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn presented(pairs: &[(&'static str, &str)]) -> Presented {
        let headers = pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        Presented::from_headers(&headers)
    }

    #[test]
    fn only_the_exact_prefix_makes_a_bearer() {
        for good in ["Bearer tok", "Bearer  tok ", "Bearer tok\t"] {
            assert_eq!(
                presented(&[("authorization", good)]).bearer(),
                Some(&TokenHash::of("tok")),
                "{good:?}"
            );
        }
        for none in ["bearer tok", "tok", "Bearer ", "Bearer", "Basic eDp5", ""] {
            assert_eq!(
                presented(&[("authorization", none)]).bearer(),
                None,
                "{none:?}"
            );
        }
    }

    #[test]
    fn claims_are_ids_or_nothing_or_refused() {
        let claim = |text| presented(&[("x-workspace-id", text)]).claim();
        assert_eq!(claim(""), Claim::None);
        assert_eq!(claim("nope"), Claim::Malformed);
        assert_eq!(claim("system:x"), Claim::Reserved);
        assert!(matches!(
            claim("00000000-0000-4000-8000-0000000000aa"),
            Claim::Workspace(_)
        ));
    }
}
