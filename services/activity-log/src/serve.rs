//! The activity log as a gRPC service behind the identity layer.

use std::sync::Arc;

use candor_identity::{Authenticator, ListenerMode, ServerIdentity, ServerIdentityLayer, Verifier};
use candor_peers::Peer;
use candor_proto::activity::v1::activity_log_service_server::ActivityLogServiceServer;
use tower::Layer as _;

use crate::ActivityLog;
use crate::service::ActivityGrpc;

/// The service's name, for health.
pub const SERVICE: &str = "candor.activity.v1.ActivityLogService";

/// Puts an activity log behind the identity layer.
#[must_use]
pub fn authenticated(
    activity_log: &ActivityLog,
    authenticator: Arc<Authenticator>,
    verifier: Option<Arc<Verifier>>,
    mode: ListenerMode,
) -> ServerIdentity<ActivityLogServiceServer<ActivityGrpc>> {
    ServerIdentityLayer::new(authenticator, verifier, mode, Peer::ActivityLog.audience())
        .layer(activity_log.service())
}
