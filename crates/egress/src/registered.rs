//! Judges the URL that an agent registers.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::class::{AddressClass, classify};
use crate::refusal::Refusal;
use crate::resolve::{Resolver, SystemLookup};
use crate::target::{Host, Target};

/// Longest wait for a name server: half of what a whole register has.
const LOOKUP_DEADLINE: Duration = Duration::from_secs(1);
/// Lookups at a time; apart from those of dials, so that a flood of registers
/// takes none from them.
static RESOLVER: LazyLock<Resolver> =
    LazyLock::new(|| Resolver::new(Arc::new(SystemLookup), 32, LOOKUP_DEADLINE));

/// What a URL is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UrlVerdict {
    /// The agent has no inbound address, and says so.
    NoInbound,
    /// It can be dialled.
    Reachable,
    /// It is stored, and shown as not reachable.
    Unreachable {
        /// Why, in words for people.
        reason: String,
    },
}

/// Why a URL is not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlRefused(String);

impl fmt::Display for UrlRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UrlRefused {}

/// Judges the URL of a register (deviation D11): metadata, link-local, multicast
/// and documentation addresses are refused in every notation; loopback, private
/// and unresolvable ones are stored as not reachable. `localhost` is an agent on
/// this machine.
///
/// # Errors
/// [`UrlRefused`], with words for the caller.
pub async fn check_registered_url(text: &str) -> Result<UrlVerdict, UrlRefused> {
    if text.is_empty() || text == "remote://no-inbound" {
        return Ok(UrlVerdict::NoInbound);
    }
    let target = Target::parse(text).map_err(|why| UrlRefused(why.to_string()))?;
    if target.host == Host::Localhost {
        return Ok(UrlVerdict::Reachable);
    }
    match RESOLVER.addresses(&target.host).await {
        Ok(found) => judge(&found),
        Err(error) => Ok(UrlVerdict::Unreachable {
            reason: error.to_string(),
        }),
    }
}

/// The worst address counts: a name may have several.
fn judge(addresses: &[IpAddr]) -> Result<UrlVerdict, UrlRefused> {
    let mut local = None;
    for class in addresses.iter().map(|address| classify(*address)) {
        match class {
            AddressClass::Public => {}
            AddressClass::Private => local = Some(Refusal::Private),
            AddressClass::Loopback => local = Some(Refusal::Loopback),
            // Nobody's secrets are there, and an operator may route them one day.
            AddressClass::Refused(
                why @ (Refusal::CarrierNat | Refusal::UnassignedLocal | Refusal::Tunnel),
            ) => local = Some(why),
            AddressClass::Refused(why) => {
                return Err(UrlRefused(format!("the address is refused: {why}")));
            }
        }
    }
    Ok(match local {
        Some(kind) => UrlVerdict::Unreachable {
            reason: kind.to_string(),
        },
        None => UrlVerdict::Reachable,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Never stored.
    const REFUSED: &[&str] = &[
        "ftp://localhost:1",
        "localhost:8000",
        "http://",
        "http://169.254.169.254/",
        "http://192.0.2.5:80",
        "http://224.0.0.1",
        "http://2852039166/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://[fe80::1]/",
        "http://metadata.google.internal/",
        "file:///etc/passwd",
        "http://0.0.0.0:1",
        "http://[::]/",
        "http://198.51.100.1/",
        "http://203.0.113.1/",
        "http://[2001:db8::1]/",
        "http://239.255.255.255/",
        "http://[ff02::1]/",
        "http://240.0.0.1/",
        "http://255.255.255.255/",
        "http://198.18.0.1/",
        "http://[64:ff9b::169.254.169.254]/",
        "http://[2002:a9fe:a9fe::1]/",
        "http://[fd00:ec2::254]/",
    ];

    #[tokio::test]
    async fn the_recorded_urls() {
        for reachable in [
            "http://localhost:8000",
            "https://localhost:8443/a2a",
            "http://user:pw@localhost:8000",
            "http://LOCALHOST:8000",
            "http://8.8.8.8:80",
        ] {
            assert_eq!(
                check_registered_url(reachable).await,
                Ok(UrlVerdict::Reachable),
                "{reachable}"
            );
        }
        for stored in [
            "http://127.0.0.1:8000",
            "http://[::1]:8000",
            "http://10.0.0.5:8000",
            "http://192.168.1.4:8000",
            "http://172.17.0.2:8000",
            "http://100.64.0.1:80",
            "http://no-such-host.invalid:80",
            "http://[::ffff:127.0.0.1]:80",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://[fd00::1]/",
            "http://[fc00::1]/",
            "http://[64:ff9b::10.0.0.1]/",
            "http://[2002:7f00:1::]/",
        ] {
            let verdict = check_registered_url(stored).await;
            assert!(
                matches!(verdict, Ok(UrlVerdict::Unreachable { .. })),
                "{stored}: {verdict:?}"
            );
        }
        for refused in REFUSED {
            assert!(check_registered_url(refused).await.is_err(), "{refused}");
        }
        for none in ["", "remote://no-inbound"] {
            assert_eq!(check_registered_url(none).await, Ok(UrlVerdict::NoInbound));
        }
    }
}
