//! The relay as a gRPC service behind the identity layer.

use std::sync::Arc;
use std::time::Duration;

use candor_identity::{Authenticator, ListenerMode, ServerIdentity, ServerIdentityLayer, Verifier};
use candor_peers::Peer;
use candor_process::grpc::Patience;
use candor_proto::a2a::v1::a2a_service_server::A2aServiceServer;
use candor_proto::relay::v1::relay_service_server::RelayServiceServer;
use tower::Layer as _;

use crate::Relay;
use crate::deliver::clock::CEILING;
use crate::service::{A2aGrpc, RelayGrpc};

/// The service's name, for health.
pub const SERVICE: &str = "candor.relay.v1.RelayService";
/// The name of A2A's own service.
pub const A2A_SERVICE: &str = "lf.a2a.v1.A2AService";
/// Its answers take as long as agents do; they end by themselves before that.
pub const A2A_PATIENCE: Patience = Patience {
    service: A2A_SERVICE,
    deadline: CEILING.saturating_add(Duration::from_secs(60)),
};

/// Puts a relay behind the identity layer.
#[must_use]
pub fn authenticated(
    relay: &Relay,
    authenticator: Arc<Authenticator>,
    verifier: Option<Arc<Verifier>>,
    mode: ListenerMode,
) -> ServerIdentity<RelayServiceServer<RelayGrpc>> {
    ServerIdentityLayer::new(authenticator, verifier, mode, Peer::Relay.audience())
        .layer(relay.service())
}

/// Puts A2A's own service behind it. No process of Candor's calls it.
#[must_use]
pub fn authenticated_a2a(
    relay: &Relay,
    authenticator: Arc<Authenticator>,
    verifier: Option<Arc<Verifier>>,
    mode: ListenerMode,
) -> ServerIdentity<A2aServiceServer<A2aGrpc>> {
    ServerIdentityLayer::new(authenticator, verifier, mode, A2A_SERVICE).layer(relay.a2a_service())
}
