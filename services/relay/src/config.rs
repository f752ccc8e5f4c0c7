//! The relay's settings.

use std::net::SocketAddr;
use std::time::Duration;

use candor_egress::AddressPolicy;
use candor_process::config::{AuthMode, SharedConfig};
use clap::Args;

/// Flags and variables of the relay.
#[derive(Debug, Clone, Args)]
pub struct RelayArgs {
    /// Where agents may be: `loopback` (this machine, private networks and beyond),
    /// `private` (private networks and beyond) or `public`. Default: `loopback` on an
    /// open listener, else `private`.
    #[arg(long, env = "CANDOR_AGENT_ADDRESSES", value_name = "POLICY")]
    pub agent_addresses: Option<AddressPolicy>,
    /// A call that ends without an answer counts for its agent's health only if the
    /// agent had at least so long.
    #[arg(
        long,
        env = "CANDOR_UNRESPONSIVE_MIN_DEADLINE",
        value_name = "DURATION",
        default_value = "60s",
        value_parser = candor_process::config::parse_duration
    )]
    pub unresponsive_min_deadline: Duration,
    /// Where callers reach `lf.a2a.v1.A2AService`, http(s)://host:port: agent cards
    /// name it then.
    #[arg(long, env = "CANDOR_A2A_GRPC_URL", value_name = "URL", value_parser = web_address)]
    pub a2a_grpc_url: Option<String>,
}

/// An address as it may stand in a card.
fn web_address(text: &str) -> Result<String, String> {
    let is_web = |url: &url::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    match url::Url::parse(text) {
        Ok(url) if is_web(&url) => Ok(text.trim_end_matches('/').to_owned()),
        _ => Err("must be http(s)://host:port".to_owned()),
    }
}

impl RelayArgs {
    /// The settings on a listener at `address`: what an open one lets developers do,
    /// dial agents on their own machine, an enforced one does not.
    #[must_use]
    pub fn config(&self, shared: &SharedConfig, address: SocketAddr) -> RelayConfig {
        let usual = match shared.security.exposure.mode(address) {
            AuthMode::Open => AddressPolicy::Loopback,
            AuthMode::Enforced => AddressPolicy::Private,
        };
        RelayConfig {
            idle_timeout: shared.legacy.a2a_idle_timeout,
            unresponsive_min_deadline: self.unresponsive_min_deadline,
            agent_addresses: self.agent_addresses.unwrap_or(usual),
            public_url: shared.external_platform_url.clone(),
            grpc_url: self.a2a_grpc_url.clone(),
        }
    }
}

/// How the relay works.
#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// How long an agent may be silent while it works, unless it declares another
    /// time.
    pub idle_timeout: Duration,
    /// See [`RelayArgs::unresponsive_min_deadline`].
    pub unresponsive_min_deadline: Duration,
    /// Where agents may be.
    pub agent_addresses: AddressPolicy,
    /// Where callers reach the gateway, unless a call says otherwise.
    pub public_url: Option<String>,
    /// See [`RelayArgs::a2a_grpc_url`].
    pub grpc_url: Option<String>,
}

impl RelayConfig {
    /// The gateway listens at `address`, in case nobody said how callers reach it.
    #[must_use]
    pub fn reached_at(mut self, address: SocketAddr) -> Self {
        self.public_url
            .get_or_insert_with(|| format!("http://{address}"));
        self
    }
}
