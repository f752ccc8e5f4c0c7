//! The provisioner as a gRPC service behind the identity layer.

use std::sync::Arc;

use candor_identity::{Authenticator, ListenerMode, ServerIdentity, ServerIdentityLayer, Verifier};
use candor_peers::Peer;
use candor_process::grpc::Patience;
use candor_proto::provisioner::v1::provisioner_service_server::ProvisionerServiceServer;
use tower::Layer as _;

use crate::Provisioner;
use crate::service::{ENDING, ProvisionerGrpc};

/// The service's name, for health.
pub const SERVICE: &str = "candor.provisioner.v1.ProvisionerService";
/// Some of its answers wait until an instance has ended.
pub const PATIENCE: Patience = Patience {
    service: SERVICE,
    deadline: ENDING.saturating_add(std::time::Duration::from_secs(5)),
};

/// Puts a provisioner behind the identity layer.
#[must_use]
pub fn authenticated(
    provisioner: &Provisioner,
    authenticator: Arc<Authenticator>,
    verifier: Option<Arc<Verifier>>,
    mode: ListenerMode,
) -> ServerIdentity<ProvisionerServiceServer<ProvisionerGrpc>> {
    ServerIdentityLayer::new(authenticator, verifier, mode, Peer::Provisioner.audience())
        .layer(provisioner.service())
}
