//! The registry as a gRPC service behind the identity layer.

use std::sync::Arc;

use candor_identity::{Authenticator, ListenerMode, ServerIdentity, ServerIdentityLayer, Verifier};
use candor_proto::registry::v1::registry_service_server::RegistryServiceServer;
use tower::Layer as _;

use crate::service::AUDIENCE;
use crate::{Registry, RegistryGrpc};

/// The service's name, for health.
pub const SERVICE: &str = "candor.registry.v1.RegistryService";

/// Puts a registry behind the identity layer.
#[must_use]
pub fn authenticated(
    registry: &Registry,
    authenticator: Arc<Authenticator>,
    verifier: Option<Arc<Verifier>>,
    mode: ListenerMode,
) -> ServerIdentity<RegistryServiceServer<RegistryGrpc>> {
    ServerIdentityLayer::new(authenticator, verifier, mode, AUDIENCE).layer(registry.service())
}
