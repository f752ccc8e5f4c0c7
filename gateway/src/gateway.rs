//! The gateway as a whole: its settings, and a router for each listener.

use std::net::IpAddr;
use std::sync::Arc;

use candor_identity::{Authenticator, ListenerMode};
use candor_peers::{ActivityClient, ProvisionerClient, RegistryClient, RelayClient};
use candor_process::telemetry::Metrics;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::beats::BeatSink;
use crate::edge::cors::Cors;
use crate::edge::host::HostPolicy;
use crate::edge::paths::Paths;
use crate::edge::{Edge, Edged};
use crate::events::Hub;
use crate::legacy::{self, App, Sockets};

/// What a gateway needs to know.
#[derive(Debug, Clone, Default)]
pub struct GatewayConfig {
    /// Origins whose pages may call; empty means the canvas' development ones.
    pub cors_origins: Vec<String>,
    /// Where external agents find the platform; without it, what they called.
    pub external_platform_url: Option<String>,
    /// Mint test tokens on enforced listeners too.
    pub test_tokens: bool,
}

/// The services behind a gateway.
#[derive(Debug, Clone)]
pub struct Services {
    /// Workspaces, status, tokens, events.
    pub registry: RegistryClient,
    /// Activity rows.
    pub activity: ActivityClient,
    /// Messages.
    pub relay: RelayClient,
    /// Instances.
    pub provisioner: ProvisionerClient,
}

/// A gateway; makes one router a listener.
pub struct Gateway {
    app: Arc<App>,
    cors: Cors,
    /// The name in `external_platform_url`: callers may use it as Host.
    known_host: Option<String>,
}

impl Gateway {
    /// Serves what `services` know; beats go to `beats`, callers come from
    /// `identity`. Sockets and streams end at `stop`.
    #[must_use]
    pub fn new(
        config: GatewayConfig,
        services: Services,
        beats: Arc<dyn BeatSink>,
        identity: Arc<Authenticator>,
        metrics: Metrics,
        stop: CancellationToken,
    ) -> Self {
        let cors = if config.cors_origins.is_empty() {
            Cors::default()
        } else {
            Cors::new(&config.cors_origins)
        };
        let known_host = config
            .external_platform_url
            .as_deref()
            .and_then(|url| Url::parse(url).ok())
            .and_then(|url| url.host_str().map(str::to_owned));
        let app = Arc::new(App {
            config,
            hub: Hub::start(services.registry.clone(), stop),
            sockets: Sockets::default(),
            registry: services.registry,
            activity: services.activity,
            relay: services.relay,
            provisioner: services.provisioner,
            beats,
            identity,
            metrics,
        });
        Self {
            app,
            cors,
            known_host,
        }
    }

    /// The routes with the edge around them, for a listener on `address`.
    #[must_use]
    pub fn router(&self, mode: ListenerMode, address: IpAddr) -> Edged {
        let edge = Edge {
            cors: self.cors.clone(),
            paths: Paths::new(legacy::is_route),
            open_host: mode
                .is_open()
                .then(|| HostPolicy::new(address).with_names(self.known_host.iter().cloned())),
        };
        edge.wrap(legacy::router(&self.app, mode))
    }
}
