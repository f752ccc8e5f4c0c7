//! How far away from Candor an agent may be.

use std::fmt;
use std::str::FromStr;

use crate::class::AddressClass;
use crate::refusal::Refusal;

/// The addresses that are dialled: `CANDOR_AGENT_ADDRESSES`. Each policy holds
/// the ones after it; metadata, link-local, multicast, documentation and reserved
/// addresses are in none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressPolicy {
    /// This machine, private networks, the internet.
    Loopback,
    /// Private networks and the internet.
    Private,
    /// The internet.
    Public,
}

impl AddressPolicy {
    /// Whether an address of this class is dialled.
    ///
    /// # Errors
    /// Why not.
    pub const fn admits(self, class: AddressClass) -> Result<(), Refusal> {
        match (class, self) {
            (AddressClass::Refused(why), _) => Err(why),
            (AddressClass::Loopback, Self::Private | Self::Public) => Err(Refusal::Loopback),
            (AddressClass::Private, Self::Public) => Err(Refusal::Private),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for AddressPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::Public => "public",
        })
    }
}

/// A word that is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be loopback, private or public")]
pub struct UnknownPolicy;

impl FromStr for AddressPolicy {
    type Err = UnknownPolicy;

    fn from_str(word: &str) -> Result<Self, UnknownPolicy> {
        match word {
            "loopback" => Ok(Self::Loopback),
            "private" => Ok(Self::Private),
            "public" => Ok(Self::Public),
            _ => Err(UnknownPolicy),
        }
    }
}
