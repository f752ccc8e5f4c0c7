//! The ports of design section 2, for processes that are told none.

/// gRPC of the registry, and of `candor up`.
pub const REGISTRY_GRPC: u16 = 50051;
/// gRPC of the provisioner.
pub const PROVISIONER_GRPC: u16 = 50052;
/// gRPC of the activity log.
pub const ACTIVITY_LOG_GRPC: u16 = 50053;
/// gRPC of the relay.
pub const RELAY_GRPC: u16 = 50054;
/// Admin server of the gateway, and of `candor up`.
pub const GATEWAY_ADMIN: u16 = 9464;
/// Admin server of the registry.
pub const REGISTRY_ADMIN: u16 = 9465;
/// Admin server of the provisioner.
pub const PROVISIONER_ADMIN: u16 = 9466;
/// Admin server of the activity log.
pub const ACTIVITY_LOG_ADMIN: u16 = 9467;
/// Admin server of the relay.
pub const RELAY_ADMIN: u16 = 9468;
