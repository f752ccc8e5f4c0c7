//! A URL, read as something to dial.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;
use url::{Position, Url};

use crate::refusal::Refusal;

/// Names under which clouds offer their metadata, whatever they resolve to.
const METADATA_NAMES: &[&str] = &["metadata.google.internal", "metadata.goog"];

/// Where to find a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// An address, in whichever notation it was written.
    Address(IpAddr),
    /// `localhost`: always this machine (RFC 6761), never looked up.
    Localhost,
    /// A name to look up, without the root's dot.
    Name(String),
}

impl Host {
    /// The addresses that need no look-up, or the name that does.
    pub(crate) fn addresses(&self) -> Result<Vec<IpAddr>, &str> {
        match self {
            Self::Address(address) => Ok(vec![*address]),
            Self::Localhost => Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]),
            Self::Name(name) => Err(name),
        }
    }
}

/// An `http` or `https` URL with a host.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) host: Host,
    pub(crate) port: u16,
    url: Url,
}

impl Target {
    /// Reads a URL as a browser does: hosts may be written decimal, octal,
    /// hexadecimal or short, and come out as addresses.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let url = Url::parse(text).map_err(|_| Refusal::NotUrl)?;
        let port = match url.scheme() {
            "http" => 80,
            "https" => 443,
            _ => return Err(Refusal::Scheme),
        };
        let host = match url.host() {
            None => return Err(Refusal::NoHost),
            Some(url::Host::Ipv4(v4)) => Host::Address(v4.into()),
            Some(url::Host::Ipv6(v6)) => Host::Address(v6.into()),
            Some(url::Host::Domain(name)) => named(name)?,
        };
        let port = url.port().unwrap_or(port);
        Ok(Self { host, port, url })
    }

    /// Whether the connection is encrypted.
    pub(crate) fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Whether the URL holds a user name or a password.
    pub(crate) fn has_userinfo(&self) -> bool {
        !self.url.username().is_empty() || self.url.password().is_some()
    }

    /// The header `host`: the host as the URL has it, the port unless it is the
    /// scheme's.
    pub(crate) fn authority(&self) -> &str {
        &self.url[Position::BeforeHost..Position::AfterPort]
    }

    /// The request's target: path and query.
    pub(crate) fn path(&self) -> Result<Uri, Refusal> {
        self.url[Position::BeforePath..Position::AfterQuery]
            .parse()
            .map_err(|_| Refusal::NotUrl)
    }
}

fn named(name: &str) -> Result<Host, Refusal> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    if name.is_empty() || METADATA_NAMES.contains(&name.as_str()) {
        return Err(Refusal::MetadataName);
    }
    if name == "localhost" {
        return Ok(Host::Localhost);
    }
    Ok(Host::Name(name))
}
