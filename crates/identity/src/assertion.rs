//! A caller on its way between Candor's processes: signed, made out to one
//! audience, and good for 30 s (design: section 3).
//!
//! Layout: one version byte, JSON of the claims, 32 bytes HMAC-SHA256 over both.

use std::fmt;
use std::time::Duration;

use candor_kernel::Caller;
use candor_process::config::{Secret, Security};
use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// The metadata that carries an assertion.
pub const METADATA: &str = "x-candor-identity-bin";
/// How long an assertion is good for.
const GOOD_FOR: Duration = Duration::from_secs(30);
/// How far the clocks of two machines may be apart.
const SKEW: Duration = Duration::from_secs(5);
/// The only layout there is.
const VERSION: u8 = 1;
/// Bytes of the signature.
const MAC: usize = 32;
/// A shorter key could be guessed.
const SHORTEST_KEY: usize = 32;

/// The identity key is too short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "CANDOR_IDENTITY_KEY must have at least {SHORTEST_KEY} bytes: `openssl rand -base64 32` makes one"
)]
pub struct WeakKey;

/// Why an assertion is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAssertion {
    /// No assertion at all.
    #[error("not an assertion")]
    Malformed,
    /// No key of ours signed it.
    #[error("signed by nobody we know")]
    Signature,
    /// It is older than 30 s, or from the future.
    #[error("out of date")]
    Expired,
    /// It was made out to another service.
    #[error("made out to another audience")]
    Audience,
}

/// The keys of an installation: the current one, and while keys change the one
/// before it.
#[derive(Clone)]
pub struct Keys {
    current: Hmac<Sha256>,
    previous: Option<Hmac<Sha256>>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}

impl Keys {
    /// Takes `CANDOR_IDENTITY_KEY` and `CANDOR_IDENTITY_KEY_PREVIOUS`.
    ///
    /// # Errors
    /// [`WeakKey`].
    pub fn new(current: &str, previous: Option<&str>) -> Result<Self, WeakKey> {
        Ok(Self {
            current: key(current)?,
            previous: previous
                .filter(|key| !key.is_empty())
                .map(key)
                .transpose()?,
        })
    }
}

impl Keys {
    /// The keys of a process' settings.
    ///
    /// # Errors
    /// In words that name the setting, when there is none or a weak one.
    pub fn of(security: &Security) -> Result<Self, String> {
        let current = security.identity_key.as_ref().ok_or(
            "set CANDOR_IDENTITY_KEY, the same in every process: `openssl rand -base64 32` makes one",
        )?;
        let previous = security.identity_key_previous.as_ref().map(Secret::expose);
        Self::new(current.expose(), previous).map_err(|error| error.to_string())
    }
}

fn key(text: &str) -> Result<Hmac<Sha256>, WeakKey> {
    if text.len() < SHORTEST_KEY {
        return Err(WeakKey);
    }
    Hmac::new_from_slice(text.as_bytes()).map_err(|_| WeakKey)
}

#[derive(Serialize)]
struct Outgoing<'a> {
    caller: &'a Caller,
    aud: &'a str,
    exp: i64,
}

#[derive(Deserialize)]
struct Incoming {
    caller: Caller,
    aud: String,
    exp: i64,
}

/// Signs callers.
#[derive(Debug, Clone)]
pub struct Signer(Keys);

impl Signer {
    /// Signs with the current key.
    #[must_use]
    pub const fn new(keys: Keys) -> Self {
        Self(keys)
    }

    /// An assertion of `caller` for `audience`.
    #[must_use]
    pub fn sign(&self, caller: &Caller, audience: &str, now: DateTime<Utc>) -> Vec<u8> {
        let claims = Outgoing {
            caller,
            aud: audience,
            exp: (now + GOOD_FOR).timestamp_millis(),
        };
        let mut bytes = vec![VERSION];
        // A type of ours without maps: writing it into memory cannot fail, and
        // an assertion without claims would be believed by nobody.
        if serde_json::to_writer(&mut bytes, &claims).is_err() {
            bytes.truncate(1);
        }
        let mut mac = self.0.current.clone();
        mac.update(&bytes);
        bytes.extend_from_slice(&mac.finalize().into_bytes());
        bytes
    }
}

/// Checks assertions.
#[derive(Debug, Clone)]
pub struct Verifier(Keys);

impl Verifier {
    /// Believes what these keys signed.
    #[must_use]
    pub const fn new(keys: Keys) -> Self {
        Self(keys)
    }

    /// Who an assertion says calls.
    ///
    /// # Errors
    /// [`InvalidAssertion`].
    pub fn verify(
        &self,
        assertion: &[u8],
        audience: &str,
        now: DateTime<Utc>,
    ) -> Result<Caller, InvalidAssertion> {
        let end = assertion
            .len()
            .checked_sub(MAC)
            .ok_or(InvalidAssertion::Malformed)?;
        let (signed, mac) = assertion.split_at(end);
        let (&VERSION, claims) = signed.split_first().ok_or(InvalidAssertion::Malformed)? else {
            return Err(InvalidAssertion::Malformed);
        };
        let signed_by = |key: &Hmac<Sha256>| {
            let mut expected = key.clone();
            expected.update(signed);
            expected.verify_slice(mac).is_ok()
        };
        if !signed_by(&self.0.current) && !self.0.previous.as_ref().is_some_and(signed_by) {
            return Err(InvalidAssertion::Signature);
        }
        let claims: Incoming =
            serde_json::from_slice(claims).map_err(|_| InvalidAssertion::Malformed)?;
        if claims.aud != audience {
            return Err(InvalidAssertion::Audience);
        }
        let now = now.timestamp_millis();
        let longest = millis(GOOD_FOR + SKEW);
        if claims.exp < now - millis(SKEW) || claims.exp > now + longest {
            return Err(InvalidAssertion::Expired);
        }
        Ok(claims.caller)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use candor_kernel::{AuthMethod, AuthVersion, Epoch, WorkspaceCaller};
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    const OLD: &str = "an old key that has more than 32 bytes";
    const NEW: &str = "a new key that has more than 32 bytes!";

    fn caller() -> Caller {
        Caller::Workspace(WorkspaceCaller {
            id: "00000000-0000-4000-8000-0000000000aa".parse().unwrap(),
            auth: AuthMethod::Token,
            epoch: Some(Epoch(3)),
            stale: true,
            auth_version: AuthVersion(7),
        })
    }

    fn keys(current: &str, previous: Option<&str>) -> Keys {
        Keys::new(current, previous).unwrap()
    }

    #[test]
    fn a_caller_arrives_as_it_was_sent() {
        let now = Utc::now();
        let sent = Signer::new(keys(NEW, None)).sign(&caller(), "here", now);
        let verifier = Verifier::new(keys(NEW, None));
        assert_eq!(verifier.verify(&sent, "here", now), Ok(caller()));
        assert_eq!(
            verifier.verify(&sent, "there", now),
            Err(InvalidAssertion::Audience)
        );
        for (off, believed) in [(-60, false), (0, true), (29, true), (60, false)] {
            let then = now + TimeDelta::seconds(off);
            assert_eq!(
                verifier.verify(&sent, "here", then).is_ok(),
                believed,
                "{off}"
            );
        }
    }

    #[test]
    fn the_key_before_is_believed_while_keys_change() {
        let now = Utc::now();
        let old = Signer::new(keys(OLD, None)).sign(&caller(), "here", now);
        let changing = Verifier::new(keys(NEW, Some(OLD)));
        assert!(changing.verify(&old, "here", now).is_ok());
        let changed = Verifier::new(keys(NEW, None));
        assert_eq!(
            changed.verify(&old, "here", now),
            Err(InvalidAssertion::Signature)
        );
    }

    #[test]
    fn short_keys_are_refused() {
        assert!(Keys::new("short", None).is_err());
        assert!(Keys::new(NEW, Some("short")).is_err());
        assert!(Keys::new(NEW, Some("")).is_ok());
    }

    proptest! {
        #[test]
        fn no_byte_can_be_changed(at in 0usize..400, flip in 1u8..=255) {
            let now = Utc::now();
            let mut sent = Signer::new(keys(NEW, None)).sign(&caller(), "here", now);
            let at = at % sent.len();
            sent[at] ^= flip;
            prop_assert!(Verifier::new(keys(NEW, None)).verify(&sent, "here", now).is_err());
        }

        #[test]
        fn junk_is_refused(junk in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Verifier::new(keys(NEW, None)).verify(&junk, "here", Utc::now()).is_err());
        }
    }
}
