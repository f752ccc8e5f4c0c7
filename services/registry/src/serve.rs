//! The registry as a gRPC server, alone or beside the gateway.

use std::sync::Arc;

use candor_identity::{Authenticator, ListenerMode, ServerIdentityLayer, Verifier};
use candor_process::grpc::{GrpcError, GrpcLimits, GrpcServer};
use candor_proto::DESCRIPTOR_SET;
use tonic::service::Routes;

use crate::Registry;
use crate::service::AUDIENCE;

/// The service's name, for health.
pub const SERVICE: &str = "candor.registry.v1.RegistryService";

/// Puts a registry behind the identity layer, with health and reflection.
///
/// # Errors
/// [`GrpcError`] when the descriptor set is damaged.
pub async fn grpc_server(
    registry: &Registry,
    authenticator: Arc<Authenticator>,
    verifier: Option<Arc<Verifier>>,
    mode: ListenerMode,
) -> Result<GrpcServer, GrpcError> {
    let identity = ServerIdentityLayer::new(authenticator, verifier, mode, AUDIENCE);
    let service = tower::Layer::layer(&identity, registry.service());
    GrpcServer::new(
        Routes::new(service),
        &[DESCRIPTOR_SET],
        &[SERVICE],
        GrpcLimits::default(),
    )
    .await
}
