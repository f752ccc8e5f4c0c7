//! Begin, Complete, Record.

use std::sync::Arc;
use std::time::Duration;

use candor_identity::{Call, Who};
use candor_kernel::activity::{NOTIFY, QUEUED, claimed_source, reported_type};
use candor_kernel::{ActivityId, Caller, Error, Reason, Source, WorkspaceId};
use candor_proto::activity::v1 as pb;
use prost::Message as _;

use super::checks;
use crate::activity_log::App;
use crate::row::{Beginning, NewRow, Outcome, fingerprint};
use crate::store::read;
use crate::writer::Written;

/// The latest deadline of an intent.
const LATEST: Duration = Duration::from_secs(24 * 3600);

pub(super) async fn begin(
    app: Arc<App>,
    call: Call,
    request: pb::BeginRequest,
) -> Result<pb::BeginResponse, Error> {
    call.platform()?;
    let fingerprint = fingerprint(&request.encode_to_vec());
    let deadline = request
        .deadline
        .and_then(|deadline| Duration::try_from(deadline).ok())
        .filter(|deadline| !deadline.is_zero() && *deadline <= LATEST)
        .ok_or_else(|| Error::field("deadline", "deadline must be up to 24 h from now"))?;
    let (source, claimed_source) = checks::source(request.source)?;
    let row = NewRow {
        id: ActivityId::of_field("id", &request.id)?,
        workspace: checks::workspace("workspace_id", &request.workspace_id)?,
        activity_type: checks::required("activity_type", request.activity_type)?,
        source,
        claimed_source,
        target: checks::target(request.target_id.as_deref())?,
        method: checks::text("method", request.method)?,
        summary: checks::text("summary", request.summary)?,
        status: None,
        error_detail: None,
        duration_ms: None,
        request: checks::body("request_body", request.request_body)?,
        response: None,
        tool_trace: None,
        beginning: Beginning::Intent(deadline),
        is_notify: false,
        fingerprint,
        traceparent: checks::text("traceparent", Some(request.traceparent))?,
    };
    app.writer.insert(row).await?;
    Ok(pb::BeginResponse {})
}

pub(super) async fn complete(
    app: Arc<App>,
    call: Call,
    request: pb::CompleteRequest,
) -> Result<pb::CompleteResponse, Error> {
    call.platform()?;
    let written = app.writer.complete(outcome(request)?).await?;
    Ok(pb::CompleteResponse {
        late: written == Written::Late,
    })
}

/// What became of a row, as one of Candor's own processes tells it.
pub(super) fn outcome(request: pb::CompleteRequest) -> Result<Outcome, Error> {
    let fingerprint = fingerprint(&request.encode_to_vec());
    let status = checks::required("status", request.status)?;
    Ok(Outcome {
        id: ActivityId::of_field("id", &request.id)?,
        is_queued: status == QUEUED,
        announce: true,
        status,
        error_detail: checks::text("error_detail", request.error_detail)?,
        duration_ms: request.duration_ms,
        response: checks::body("response_body", request.response_body)?,
        tool_trace: checks::json("tool_trace", request.tool_trace)?,
        summary: checks::text("summary", request.summary)?,
        fingerprint,
    })
}

pub(super) async fn record(
    app: Arc<App>,
    call: Call,
    request: pb::RecordRequest,
) -> Result<pb::RecordResponse, Error> {
    let row = reported(&app, &call, request).await?;
    let id = row.id.to_string();
    app.writer.insert(row).await?;
    Ok(pb::RecordResponse { id })
}

/// A row as its caller reports it.
pub(super) async fn reported(
    app: &App,
    call: &Call,
    request: pb::RecordRequest,
) -> Result<NewRow, Error> {
    let workspace = checks::workspace("workspace_id", &request.workspace_id)?;
    let caller = speaker(app, call, workspace).await?;
    reported_type(&caller, &request.activity_type)?;
    let claimed_source = claimed_source(&request.source_id, workspace)?;
    let fingerprint = fingerprint(&request.encode_to_vec());
    let status = checks::text("status", request.status)?;
    let method = checks::text("method", request.method)?;
    if method.as_deref() == Some(NOTIFY) && request.activity_type == "a2a_receive" {
        // Only Notify writes an agent's words to the person.
        return Err(Error::field("method", "notify rows are written by Notify"));
    }
    Ok(NewRow {
        id: checks::row_id(&request.id)?,
        workspace,
        source: Source::of(&caller),
        claimed_source,
        activity_type: request.activity_type,
        target: checks::target(request.target_id.as_deref())?,
        method,
        summary: checks::text("summary", request.summary)?,
        status: Some(status.unwrap_or_else(|| "ok".to_owned())),
        error_detail: checks::text("error_detail", request.error_detail)?,
        duration_ms: request.duration_ms,
        request: checks::body("request_body", request.request_body)?,
        response: checks::body("response_body", request.response_body)?,
        tool_trace: None,
        beginning: Beginning::Final { announce: true },
        is_notify: false,
        fingerprint,
        traceparent: call.traceparent.map(|parent| parent.to_string()),
    })
}

/// Who speaks as `workspace` or about it: itself, a person, or the platform.
pub(super) async fn speaker(
    app: &App,
    call: &Call,
    workspace: WorkspaceId,
) -> Result<Caller, Error> {
    let caller = call.principal(Who::WorkspaceVoice, workspace).await?;
    if caller == Caller::Anonymous {
        // Nobody, since there is nobody: that is told first.
        let mut connection = app.store.connection().await?;
        if read::workspace_name(&mut connection, workspace)
            .await?
            .is_none()
        {
            return Err(no_workspace());
        }
    }
    let call = Call {
        caller,
        inbound: None,
        traceparent: call.traceparent,
    };
    call.self_or_operator(workspace)?;
    Ok(call.caller)
}

/// The answer for an id that names no workspace.
pub(super) fn no_workspace() -> Error {
    Error::new(Reason::WorkspaceNotFound, "workspace not found")
}
