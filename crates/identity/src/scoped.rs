//! The platform's word to one agent, for one purpose and a minute.
//!
//! It goes to an address that the agent chose, so nothing that a caller presented may
//! go with it. Agent and platform share one thing that nobody else has: the hash of the
//! agent's token, which the platform keeps and the agent can make. It signs the word;
//! the word gives neither the hash nor the token away.
//!
//! Layout: `candor-scoped-1.<unix seconds>.<mac>[.<mac>]`, a MAC for each live token of
//! the workspace, HMAC-SHA256 in unpadded base64url.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use candor_kernel::WorkspaceId;
use candor_kernel::token::TokenHash;
use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// The layout.
const LAYOUT: &str = "candor-scoped-1";
/// How long a word is good for, in seconds.
const GOOD_FOR: i64 = 60;
/// How far the clocks of platform and agent may be apart, in seconds.
const SKEW: i64 = 5;
/// Reading the transcript of the agent's session.
pub const TRANSCRIPT: &str = "transcript";

fn mac(hash: &TokenHash, purpose: &str, id: WorkspaceId, until: i64) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&hash.0).ok()?;
    mac.update(format!("{LAYOUT}\n{purpose}\n{id}\n{until}").as_bytes());
    Some(mac)
}

/// A word for `purpose` to the agent of `id`, which has one of these tokens; none if
/// there is no token.
#[must_use]
pub fn sign(
    hashes: &[TokenHash],
    purpose: &str,
    id: WorkspaceId,
    now: DateTime<Utc>,
) -> Option<String> {
    let until = now.timestamp() + GOOD_FOR;
    let macs: Vec<String> = hashes
        .iter()
        .filter_map(|hash| mac(hash, purpose, id, until))
        .map(|mac| URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
        .collect();
    (!macs.is_empty()).then(|| format!("{LAYOUT}.{until}.{}", macs.join(".")))
}

/// Whether the platform gave this word to whoever has `token`: how an agent checks it.
#[must_use]
pub fn verify(word: &str, token: &str, purpose: &str, id: WorkspaceId, now: DateTime<Utc>) -> bool {
    let mut parts = word.split('.');
    let (layout, until) = (parts.next(), parts.next());
    let Some(until) = until.and_then(|until| until.parse::<i64>().ok()) else {
        return false;
    };
    let now = now.timestamp();
    if layout != Some(LAYOUT) || now > until || until > now + GOOD_FOR + SKEW {
        return false;
    }
    let hash = TokenHash::of(token);
    parts.take(8).any(|given| {
        let given = URL_SAFE_NO_PAD.decode(given);
        let expected = mac(&hash, purpose, id, until);
        given.is_ok_and(|given| {
            expected.is_some_and(|expected| expected.verify_slice(&given).is_ok())
        })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn id(n: u128) -> WorkspaceId {
        WorkspaceId::from_uuid(uuid::Uuid::from_u128(n))
    }

    #[test]
    fn only_who_has_the_token_believes_it_and_for_this_alone() {
        let now = Utc::now();
        let hashes = [TokenHash::of("other"), TokenHash::of("mine")];
        let word = sign(&hashes, TRANSCRIPT, id(1), now).unwrap();
        assert!(verify(&word, "mine", TRANSCRIPT, id(1), now));
        assert!(!verify(&word, "stranger", TRANSCRIPT, id(1), now));
        assert!(!verify(&word, "mine", "delete", id(1), now));
        assert!(!verify(&word, "mine", TRANSCRIPT, id(2), now));
        let later = now + chrono::TimeDelta::seconds(61);
        assert!(!verify(&word, "mine", TRANSCRIPT, id(1), later));
        let before = now - chrono::TimeDelta::seconds(10);
        assert!(!verify(&word, "mine", TRANSCRIPT, id(1), before));
        for broken in [
            "",
            ".",
            "candor-scoped-1",
            "candor-scoped-1.x.y",
            &word[..word.len() - 3],
        ] {
            assert!(!verify(broken, "mine", TRANSCRIPT, id(1), now), "{broken}");
        }
        assert_eq!(sign(&[], TRANSCRIPT, id(1), now), None);
    }

    #[test]
    fn it_gives_nothing_away() {
        let word = sign(&[TokenHash::of("mine")], TRANSCRIPT, id(1), Utc::now()).unwrap();
        let hash = URL_SAFE_NO_PAD.encode(TokenHash::of("mine").0);
        assert!(!word.contains("mine") && !word.contains(&hash));
    }
}
