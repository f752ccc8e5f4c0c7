//! A registry in another process.

use std::sync::Arc;
use std::time::Duration;

use candor_identity::{ClientIdentityLayer, Signer};
use candor_process::grpc::InjectTraceLayer;
use tonic::Status;
use tonic::transport::Endpoint;
use tower::{Layer as _, ServiceExt as _};

use super::GrpcChannel;

/// Whom assertions are made out to.
pub(super) const AUDIENCE: &str = "candor.registry.v1.RegistryService";
/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// Silence after which the registry is asked whether it still lives.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The registry's address is none.
#[derive(Debug, thiserror::Error)]
#[error("--registry {url}: {source}")]
pub struct RemoteError {
    url: String,
    source: tonic::transport::Error,
}

/// A channel to `url`, `http://host:port`; it connects on first use, and again
/// whenever the connection is lost.
///
/// # Errors
/// [`RemoteError`] for what is no address.
pub fn connect(url: &str, signer: Arc<Signer>) -> Result<GrpcChannel, RemoteError> {
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|source| RemoteError {
            url: url.to_owned(),
            source,
        })?
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(CONNECT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20);
    let channel = endpoint.connect_lazy();
    let traced = InjectTraceLayer.layer(channel);
    let identified = ClientIdentityLayer::new(signer, AUDIENCE).layer(traced);
    Ok(GrpcChannel::new(identified.map_err(
        |error: tonic::transport::Error| Status::from_error(Box::new(error)),
    )))
}
