//! The agent's words to the person (contract/activity.md, "notify").

use std::sync::Arc;

use candor_identity::Call;
use candor_kernel::activity::{NOTIFY, notify_summary};
use candor_kernel::{Error, Source};
use candor_proto::activity::v1 as pb;
use prost::Message as _;
use serde_json::{Value, json};

use super::{checks, write};
use crate::activity_log::App;
use crate::body::StoredBody;
use crate::row::{Beginning, NewRow, fingerprint};
use crate::store::read;

pub(super) async fn notify(
    app: Arc<App>,
    call: Call,
    request: pb::NotifyRequest,
) -> Result<pb::NotifyResponse, Error> {
    let workspace = checks::workspace("workspace_id", &request.workspace_id)?;
    let caller = write::speaker(&app, &call, workspace).await?;
    check(&request)?;
    let name = {
        let mut connection = app.store.connection().await?;
        read::workspace_name(&mut connection, workspace).await?
    };
    let name = name.ok_or_else(write::no_workspace)?;
    let workspace_id = workspace.to_string();
    let payload = shown(&request, &workspace_id, &name);
    let id = checks::row_id(&request.id)?;
    let promise = app.announcer.promise(id, &workspace_id, &payload)?;
    let row = NewRow {
        id,
        workspace,
        activity_type: "a2a_receive".to_owned(),
        source: Source::of(&caller),
        claimed_source: None,
        target: None,
        method: Some(NOTIFY.to_owned()),
        summary: Some(notify_summary(&request.message)),
        status: Some("ok".to_owned()),
        error_detail: None,
        duration_ms: None,
        request: None,
        response: Some(StoredBody::made(stored(&request).to_string())),
        tool_trace: None,
        beginning: Beginning::Final { announce: false },
        is_notify: true,
        fingerprint: fingerprint(&request.encode_to_vec()),
        traceparent: call.traceparent.map(|parent| parent.to_string()),
    };
    app.writer.say(row, promise).await?;
    Ok(pb::NotifyResponse { id: id.to_string() })
}

fn check(request: &pb::NotifyRequest) -> Result<(), Error> {
    if request.message.is_empty() {
        return Err(Error::field("message", "message is required"));
    }
    for (n, attachment) in request.attachments.iter().enumerate() {
        if attachment.uri.is_empty() || attachment.name.is_empty() {
            return Err(Error::field(
                "attachments",
                format!("attachment[{n}]: uri and name are required"),
            ));
        }
    }
    Ok(())
}

/// An attachment; what it does not say is absent.
fn file(attachment: &pb::Attachment) -> Value {
    let mut file = json!({"uri": attachment.uri, "name": attachment.name});
    if !attachment.mime_type.is_empty() {
        file["mimeType"] = json!(attachment.mime_type);
    }
    if attachment.size != 0 {
        file["size"] = json!(attachment.size);
    }
    file
}

/// The row's response: how the canvas reads an agent's reply.
fn stored(request: &pb::NotifyRequest) -> Value {
    let mut body = json!({"result": request.message});
    if !request.attachments.is_empty() {
        let parts = request.attachments.iter();
        body["parts"] = parts
            .map(|attachment| json!({"kind": "file", "file": file(attachment)}))
            .collect();
    }
    body
}

/// The event's payload.
fn shown(request: &pb::NotifyRequest, workspace_id: &str, name: &str) -> Value {
    let mut payload =
        json!({"message": request.message, "workspace_id": workspace_id, "name": name});
    if !request.attachments.is_empty() {
        payload["attachments"] = request.attachments.iter().map(file).collect();
    }
    payload
}
