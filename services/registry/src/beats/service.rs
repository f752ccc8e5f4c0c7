//! A beat from the wire, to the wire.

use candor_kernel::lease::LeasePolicy;
use candor_kernel::{Epoch, Error, WorkspaceCaller};
use candor_process::telemetry::propagation::TraceParent;
use candor_proto::registry::v1 as pb;

use super::{BeatOutcome, Beats};
use crate::wire;

/// The batcher with the policy its answers tell; cheap to clone.
#[derive(Clone, Debug)]
pub struct BeatService {
    beats: Beats,
    policy: LeasePolicy,
}

impl BeatService {
    /// Answers beats by this batcher.
    #[must_use]
    pub const fn new(beats: Beats, policy: LeasePolicy) -> Self {
        Self { beats, policy }
    }

    /// Takes a beat of an authenticated caller; the caller's workspace counts,
    /// whatever the message says.
    ///
    /// # Errors
    /// As [`Beats::submit`].
    pub async fn beat(
        &self,
        caller: WorkspaceCaller,
        request: pb::HeartbeatRequest,
        traceparent: Option<TraceParent>,
    ) -> Result<pb::HeartbeatResponse, Error> {
        let beat = wire::beat(request)?;
        let outcome = self.beats.submit(caller, beat, traceparent).await?;
        Ok(match outcome {
            BeatOutcome::Applied { epoch } => self.answer(epoch, false),
            BeatOutcome::Superseded { epoch } => self.answer(epoch, true),
            BeatOutcome::Unknown => without_effect("unknown"),
            BeatOutcome::Removed => without_effect("removed"),
        })
    }

    fn answer(&self, epoch: Epoch, superseded: bool) -> pb::HeartbeatResponse {
        pb::HeartbeatResponse {
            status: "ok".to_owned(),
            workspace: None,
            next_heartbeat_after: Some(wire::duration(self.policy.next_heartbeat_after(false))),
            lease_ttl: Some(wire::duration(self.policy.ttl)),
            epoch: epoch.0,
            server_time: Some(wire::timestamp(chrono::Utc::now())),
            superseded,
        }
    }
}

/// The answer for an id that names no living workspace.
#[must_use]
pub fn without_effect(workspace: &str) -> pb::HeartbeatResponse {
    pb::HeartbeatResponse {
        status: "ok".to_owned(),
        workspace: Some(workspace.to_owned()),
        ..pb::HeartbeatResponse::default()
    }
}
