//! Between stored rows and protobuf messages.

use candor_kernel::lease::{LeasePolicy, VitalFacts, verdict};
use candor_kernel::{
    Beat, BeatForm, Causes, Epoch, Error, RuntimeMetadata, RuntimeState, Status, TurnProgress,
    WorkspaceId, WorkspaceState,
};
pub use candor_peers::time::{duration, time, timestamp};
use candor_proto::registry::v1 as pb;

use sqlx::types::Json;

use crate::store::events::StoredEvent;
use crate::store::workspaces::Shown;

/// Parses the id of a workspace.
///
/// # Errors
/// A field error that names the field.
pub fn workspace_id(field: &'static str, text: &str) -> Result<WorkspaceId, Error> {
    WorkspaceId::of_field(field, text)
}

/// A status on the wire.
#[must_use]
pub const fn status(status: Status) -> pb::WorkspaceStatus {
    match status {
        Status::Provisioning => pb::WorkspaceStatus::Provisioning,
        Status::Online => pb::WorkspaceStatus::Online,
        Status::Offline => pb::WorkspaceStatus::Offline,
        Status::Degraded => pb::WorkspaceStatus::Degraded,
        Status::Failed => pb::WorkspaceStatus::Failed,
        Status::Removed => pb::WorkspaceStatus::Removed,
        Status::Paused => pb::WorkspaceStatus::Paused,
        Status::Hibernated => pb::WorkspaceStatus::Hibernated,
        Status::Hibernating => pb::WorkspaceStatus::Hibernating,
        Status::AwaitingAgent => pb::WorkspaceStatus::AwaitingAgent,
    }
}

/// A stored label on the wire; unknown labels are unspecified.
#[must_use]
pub fn status_label(label: &str) -> pb::WorkspaceStatus {
    label
        .parse()
        .map_or(pb::WorkspaceStatus::Unspecified, status)
}

/// A heartbeat as the kernel reads it.
///
/// # Errors
/// Field errors.
pub fn beat(request: pb::HeartbeatRequest) -> Result<Beat, Error> {
    let form = match request.form() {
        pb::BeatForm::LegacyJson => BeatForm::LegacyJson,
        pb::BeatForm::Unspecified => BeatForm::Typed,
    };
    let expect_quiet_until = request
        .expect_quiet_until
        .as_ref()
        .map(|until| time("expect_quiet_until", until))
        .transpose()?;
    Ok(Beat {
        form,
        error_rate: request.error_rate,
        sample_error: request.sample_error,
        active_tasks: request.active_tasks,
        uptime_seconds: request.uptime_seconds,
        current_task: request.current_task,
        monthly_spend: request.monthly_spend,
        runtime_state: request.runtime_state.map(RuntimeState),
        runtime_metadata: request.runtime_metadata.map(|metadata| RuntimeMetadata {
            capabilities: metadata.capabilities.into_iter().collect(),
            idle_timeout_seconds: metadata.idle_timeout_seconds,
        }),
        expect_quiet_until,
        turn_progress: request.turn_progress.map(|progress| TurnProgress {
            begun: progress.begun,
            answered: progress.answered,
            failed: progress.failed,
            moved: progress.moved,
        }),
    })
}

/// An event on the wire.
#[must_use]
pub fn event(row: StoredEvent) -> pb::Event {
    pb::Event {
        id: row.id.to_string(),
        event_type: row.event_type,
        workspace_id: row
            .workspace_id
            .map(|id| id.to_string())
            .unwrap_or_default(),
        payload: row.payload.unwrap_or_else(|| "null".to_owned()),
        created_at: row.created_at.map(timestamp),
        seq: row.seq.unwrap_or_default(),
        traceparent: row.traceparent.unwrap_or_default(),
    }
}

/// A workspace on the wire, with the verdict that its row leads to.
///
/// # Errors
/// `INTERNAL` for a row that cannot be read.
pub fn workspace(row: Shown, policy: &LeasePolicy) -> Result<pb::Workspace, Error> {
    let state = state_of(&row)?;
    let (verdict, reasons) = verdict(
        &state,
        &VitalFacts {
            lease_until: row.lease_until,
            last_beat_at: row.last_heartbeat_at,
            active_tasks: row.active_tasks,
            error_rate: row.last_error_rate,
            sample_error: &row.last_sample_error,
            // Only a refused address is known; nothing was dialled.
            reachable: (!row.reachable).then_some(false),
            idle_since: None,
        },
        policy,
        row.read_at,
    );
    Ok(pb::Workspace {
        id: row.id.to_string(),
        name: row.name,
        role: row.role,
        tier: row.tier,
        status: status(state.status).into(),
        url: row.url,
        parent_id: row.parent_id.map(|id| id.to_string()),
        agent_card: row.agent_card,
        active_tasks: row.active_tasks,
        uptime_seconds: row.uptime_seconds,
        max_concurrent_tasks: row.max_concurrent_tasks,
        last_error_rate: row.last_error_rate,
        last_sample_error: row.last_sample_error,
        current_task: row.current_task,
        runtime: row.runtime,
        workspace_dir: row.workspace_dir,
        budget_limit: row.budget_limit,
        monthly_spend: row.monthly_spend,
        x: row.x,
        y: row.y,
        collapsed: row.collapsed,
        last_outbound_at: row.last_outbound_at.map(timestamp),
        verdict: verdict.label().to_owned(),
        reasons,
        last_heartbeat_at: row.last_heartbeat_at.map(timestamp),
        lease_until: row.lease_until.map(timestamp),
        runtime_state: row.runtime_state,
        epoch: row.epoch,
        reachable: row.reachable,
        delivery_mode: row.delivery_mode,
        last_rejected_beat: None,
        rejected_beats: 0,
        created_at: row.created_at.map(timestamp),
        turn_progress: row.turn_progress.map(|Json(progress)| pb::TurnProgress {
            begun: progress.begun,
            answered: progress.answered,
            failed: progress.failed,
            moved: progress.moved,
        }),
    })
}

fn state_of(row: &Shown) -> Result<WorkspaceState, Error> {
    let causes: Causes = serde_json::from_value(row.causes.clone()).map_err(Error::internal)?;
    let mut state = WorkspaceState::unborn(row.runtime == "external");
    state.status = row.status.parse().map_err(Error::internal)?;
    state.causes = causes;
    state.epoch = Epoch(row.epoch);
    state.fence_epoch = Epoch(row.fence_epoch);
    state.full_beat_seen = row.full_beat_seen;
    state.runtime_state = RuntimeState(row.runtime_state.clone());
    state.adopt(row.read_at);
    Ok(state)
}
