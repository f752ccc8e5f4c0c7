//! Legacy beats straight into group commit, without a hop.

use async_trait::async_trait;
use candor_gateway::BeatSink;
use candor_kernel::{Error, WorkspaceCaller};
use candor_process::telemetry::propagation::TraceParent;
use candor_proto::registry::v1::{HeartbeatRequest, HeartbeatResponse};
use candor_registry::beats::BeatService;

/// The registry's batcher, in this process.
pub struct LocalBeats(pub BeatService);

#[async_trait]
impl BeatSink for LocalBeats {
    async fn beat(
        &self,
        caller: WorkspaceCaller,
        beat: HeartbeatRequest,
        traceparent: Option<TraceParent>,
    ) -> Result<HeartbeatResponse, Error> {
        self.0.beat(caller, beat, traceparent).await
    }
}
