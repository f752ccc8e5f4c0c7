//! Judges the URL that an agent registers.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::Semaphore;
use url::{Host, Url};

use crate::class::{AddressClass, classify};

/// Longest wait for a name server: half of what a whole register has.
const LOOKUP_DEADLINE: Duration = Duration::from_secs(1);
/// Lookups at a time; a register that finds no free one does not wait for it.
static LOOKUPS: Semaphore = Semaphore::const_new(32);

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
    let refused = |why: &str| Err(UrlRefused(why.to_owned()));
    let Ok(url) = Url::parse(text) else {
        return refused("not a URL");
    };
    if !matches!(url.scheme(), "http" | "https") {
        return refused("the scheme must be http or https");
    }
    match url.host() {
        None => refused("no host"),
        Some(Host::Ipv4(v4)) => judge(&[IpAddr::V4(v4)]),
        Some(Host::Ipv6(v6)) => judge(&[IpAddr::V6(v6)]),
        Some(Host::Domain(name)) => {
            judge_name(name, url.port_or_known_default().unwrap_or(80)).await
        }
    }
}

async fn judge_name(name: &str, port: u16) -> Result<UrlVerdict, UrlRefused> {
    let name = name.trim_end_matches('.');
    if name == "localhost" {
        return Ok(UrlVerdict::Reachable);
    }
    if name.is_empty() || name == "metadata.google.internal" {
        return Err(UrlRefused("the host is refused".to_owned()));
    }
    let unreachable = |reason: &str| {
        Ok(UrlVerdict::Unreachable {
            reason: reason.to_owned(),
        })
    };
    let Ok(_permit) = LOOKUPS.try_acquire() else {
        return unreachable("its name was not looked up: too many lookups at a time");
    };
    match tokio::time::timeout(LOOKUP_DEADLINE, tokio::net::lookup_host((name, port))).await {
        Ok(Ok(found)) => {
            let found: Vec<IpAddr> = found.map(|address| address.ip()).collect();
            if found.is_empty() {
                unreachable("its name has no address")
            } else {
                judge(&found)
            }
        }
        Ok(Err(_)) => unreachable("its name does not resolve"),
        Err(_) => unreachable("looking up its name took too long"),
    }
}

/// The worst address counts: a name may have several.
fn judge(addresses: &[IpAddr]) -> Result<UrlVerdict, UrlRefused> {
    let mut local = None;
    for class in addresses.iter().map(|address| classify(*address)) {
        match class {
            AddressClass::Refused(why) => {
                return Err(UrlRefused(format!("the address is refused: {why}")));
            }
            AddressClass::Local(kind) => local = Some(kind),
            AddressClass::Public => {}
        }
    }
    Ok(match local {
        Some(kind) => UrlVerdict::Unreachable {
            reason: format!("a {kind} address"),
        },
        None => UrlVerdict::Reachable,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

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
        ] {
            let verdict = check_registered_url(stored).await;
            assert!(
                matches!(verdict, Ok(UrlVerdict::Unreachable { .. })),
                "{stored}: {verdict:?}"
            );
        }
        for refused in [
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
        ] {
            assert!(check_registered_url(refused).await.is_err(), "{refused}");
        }
        for none in ["", "remote://no-inbound"] {
            assert_eq!(check_registered_url(none).await, Ok(UrlVerdict::NoInbound));
        }
    }
}
