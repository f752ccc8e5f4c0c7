//! POST /registry/heartbeat (contract/registry.md): the busiest route there is.

use std::sync::Arc;

use candor_identity::call::{MOST_LOOKS, overtaken};
use candor_identity::{BeatStanding, Refusal, Who};
use candor_kernel::{Error, Reason, WorkspaceId};
use candor_peers::time::timestamp;
use candor_process::telemetry::propagation::TraceParent;
use candor_proto::registry::v1 as pb;

use crate::legacy::App;
use crate::legacy::answer::{self, Answer};
use crate::legacy::call::{Call, bad_request, bind};
use crate::legacy::json::encode::{Members as _, Struct};
use crate::legacy::json::heartbeat::{HeartbeatFields, parse_heartbeat};
use crate::legacy::refusals::refuse;
use crate::legacy::shapes::time;

/// POST /registry/heartbeat.
pub(crate) async fn heartbeat(app: Arc<App>, call: Call) -> Answer {
    let (id, beat) = parse(&call.body)?;
    let traceparent = TraceParent::current();
    let mut settled = attempt(&app, &call, id, beat, traceparent).await;
    for _ in 1..MOST_LOOKS {
        if !is_overtaken(&settled) {
            break;
        }
        // What was presented is looked at again.
        app.identity.forget(&call.presented, id);
        let (id, beat) = parse(&call.body)?;
        settled = attempt(&app, &call, id, beat, traceparent).await;
    }
    if is_overtaken(&settled) {
        return Err(overtaken());
    }
    match settled {
        Ok(Ok(response)) => Ok(answer::ok(body(&response))),
        Ok(Err(error)) => Err(error),
        Err(refusal) => Ok(refuse(Who::Beat, refusal)),
    }
}

fn is_overtaken(settled: &Result<Result<pb::HeartbeatResponse, Error>, Refusal>) -> bool {
    matches!(settled, Ok(Err(error)) if error.reason() == Reason::CredentialChanged)
}

fn parse(body: &[u8]) -> Result<(WorkspaceId, pb::HeartbeatRequest), Error> {
    let fields = parse_heartbeat(body).map_err(bind("invalid request body"))?;
    let id = fields
        .workspace_id
        .parse()
        .map_err(|_| bad_request("workspace_id must be a UUID"))?;
    Ok((id, message(fields)))
}

async fn attempt(
    app: &App,
    call: &Call,
    id: WorkspaceId,
    beat: pb::HeartbeatRequest,
    traceparent: Option<TraceParent>,
) -> Result<Result<pb::HeartbeatResponse, Error>, Refusal> {
    let without_effect = |workspace: &str| {
        Ok(pb::HeartbeatResponse {
            status: "ok".to_owned(),
            workspace: Some(workspace.to_owned()),
            ..pb::HeartbeatResponse::default()
        })
    };
    let standing = app.identity.beat(call.mode, &call.presented, id).await?;
    Ok(match standing {
        BeatStanding::Caller(caller) => app.beats.beat(caller, beat, traceparent).await,
        BeatStanding::Unknown => without_effect("unknown"),
        BeatStanding::Removed => without_effect("removed"),
    })
}

fn message(fields: HeartbeatFields) -> pb::HeartbeatRequest {
    pb::HeartbeatRequest {
        workspace_id: fields.workspace_id,
        error_rate: fields.error_rate,
        sample_error: fields.sample_error,
        active_tasks: fields.active_tasks,
        uptime_seconds: fields.uptime_seconds,
        current_task: fields.current_task,
        monthly_spend: fields.monthly_spend,
        runtime_state: fields.runtime_state,
        runtime_metadata: fields.runtime_metadata.map(|metadata| pb::RuntimeMetadata {
            capabilities: metadata
                .capabilities
                .unwrap_or_default()
                .into_iter()
                .collect(),
            idle_timeout_seconds: metadata.idle_timeout_seconds.map(i64::from),
        }),
        expect_quiet_until: fields.expect_quiet_until.map(timestamp),
        form: pb::BeatForm::LegacyJson.into(),
        turn_progress: fields.turn_progress.map(|progress| pb::TurnProgress {
            begun: progress.begun,
            answered: progress.answered,
            failed: progress.failed,
            moved: progress.moved,
        }),
    }
}

/// `"status":"ok"` with what Candor adds, sorted by name.
fn body(response: &pb::HeartbeatResponse) -> String {
    if let Some(workspace) = &response.workspace {
        return Struct::new()
            .string("status", &response.status)
            .string("workspace", workspace)
            .finish();
    }
    let seconds = |duration: Option<&prost_types::Duration>| {
        duration.map_or(0.0, |d| d.seconds as f64 + f64::from(d.nanos) / 1e9)
    };
    let body = Struct::new()
        .int("epoch", response.epoch)
        .float("lease_ttl", seconds(response.lease_ttl.as_ref()))
        .float(
            "next_heartbeat_after",
            seconds(response.next_heartbeat_after.as_ref()),
        )
        .member("server_time", |json| {
            time(json, response.server_time.as_ref());
        })
        .string("status", &response.status);
    if response.superseded {
        return body.bool("superseded", true).finish();
    }
    body.finish()
}
