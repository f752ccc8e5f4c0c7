//! The model of a workspace (contract/neighbours.md, "Secrets and model").

use std::sync::Arc;

use candor_proto::provisioner::v1 as pb;

use crate::legacy::App;
use crate::legacy::answer::{self, Answer};
use crate::legacy::call::{Call, bad_request};
use crate::legacy::json::encode::{Map, Members as _};

/// GET /workspaces/:id/model.
pub(crate) async fn get(app: Arc<App>, call: Call) -> Answer {
    let request = pb::GetModelRequest {
        workspace_id: call.workspace_id()?.to_string(),
    };
    let model = app
        .provisioner
        .call(&call.caller, request, |mut c, r| async move {
            c.get_model(r).await
        })
        .await?
        .model;
    let source = match model.as_str() {
        "" => "default",
        _ => "workspace_secrets",
    };
    let body = Map::new().string("model", &model).string("source", source);
    Ok(answer::ok(body.finish()))
}

/// PUT /workspaces/:id/model: none clears it.
pub(crate) async fn set(app: Arc<App>, call: Call) -> Answer {
    const MALFORMED: &str = "invalid request body";
    let workspace_id = call.canonical_workspace_id()?.to_string();
    let object = call.object(MALFORMED)?;
    let model = object
        .string("model")
        .map_err(|_| bad_request(MALFORMED))?
        .unwrap_or_default();
    let request = pb::SetModelRequest {
        workspace_id,
        model: model.clone(),
    };
    app.provisioner
        .call(&call.caller, request, |mut c, r| async move {
            c.set_model(r).await
        })
        .await?;
    if model.is_empty() {
        return Ok(answer::status("cleared"));
    }
    let body = Map::new().string("model", &model).string("status", "saved");
    Ok(answer::ok(body.finish()))
}
