//! The way to a service: in this process, or in another.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use candor_identity::{ClientIdentityLayer, Signer};
use candor_process::grpc::InjectTraceLayer;
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::transport::Endpoint;
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, Service, ServiceExt as _};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// Silence after which a peer is asked whether it still lives.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The way to a service, whatever lies between.
pub type GrpcChannel = BoxCloneSyncService<Request<Body>, Response<Body>, Status>;

/// A service of this process as a channel: no socket, and the caller travels by
/// value.
pub fn local<S>(service: S) -> GrpcChannel
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    GrpcChannel::new(service.map_err(|never: Infallible| match never {}))
}

/// Which service a channel leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Workspaces, status, tokens, events.
    Registry,
    /// Activity rows.
    ActivityLog,
    /// Messages.
    Relay,
    /// Instances.
    Provisioner,
}

impl Peer {
    /// Whom assertions are made out to.
    #[must_use]
    pub const fn audience(self) -> &'static str {
        match self {
            Self::Registry => "candor.registry.v1.RegistryService",
            Self::ActivityLog => "candor.activity.v1.ActivityLogService",
            Self::Relay => "candor.relay.v1.RelayService",
            Self::Provisioner => "candor.provisioner.v1.ProvisionerService",
        }
    }

    /// What a stream may send ahead of its reader, in bytes.
    const fn stream_window(self) -> u32 {
        match self {
            // Answers are passed on at the pace of their readers.
            Self::Relay => 64 * 1024,
            Self::Registry | Self::ActivityLog | Self::Provisioner => 1024 * 1024,
        }
    }

    /// What all streams of a connection may send ahead together, in bytes.
    const fn connection_window(self) -> u32 {
        match self {
            // Room for every stream: slow readers hold up nobody else.
            Self::Relay => 512 * 1024 * 1024,
            Self::Registry | Self::ActivityLog | Self::Provisioner => 4 * 1024 * 1024,
        }
    }

    /// The flag that names its address.
    const fn flag(self) -> &'static str {
        match self {
            Self::Registry => "--registry",
            Self::ActivityLog => "--activity-log",
            Self::Relay => "--relay",
            Self::Provisioner => "--provisioner",
        }
    }
}

/// A service's address is none.
#[derive(Debug, thiserror::Error)]
#[error("{flag} {url}: {source}")]
pub struct RemoteError {
    flag: &'static str,
    url: String,
    source: tonic::transport::Error,
}

/// A channel to a service at `url`, `http://host:port`; it connects on first use,
/// and again whenever the connection is lost.
///
/// # Errors
/// [`RemoteError`] for what is no address.
pub fn connect(peer: Peer, url: &str, signer: Arc<Signer>) -> Result<GrpcChannel, RemoteError> {
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|source| RemoteError {
            flag: peer.flag(),
            url: url.to_owned(),
            source,
        })?
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(CONNECT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(peer.stream_window())
        .initial_connection_window_size(peer.connection_window());
    let channel = endpoint.connect_lazy();
    let traced = InjectTraceLayer.layer(channel);
    let identified = ClientIdentityLayer::new(signer, peer.audience()).layer(traced);
    Ok(GrpcChannel::new(identified.map_err(
        |error: tonic::transport::Error| Status::from_error(Box::new(error)),
    )))
}
