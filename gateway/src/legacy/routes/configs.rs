//! The configuration document of a workspace (contract/neighbours.md, "Config blob").

use std::sync::Arc;

use axum::http::StatusCode;
use candor_proto::provisioner::v1 as pb;

use crate::edge::error_response;
use crate::legacy::App;
use crate::legacy::answer::{self, Answer};
use crate::legacy::call::{Call, bad_request};
use crate::legacy::json::encode::{Map, Members as _};

/// Bytes of a body.
const MOST: usize = 262_144;

/// GET /workspaces/:id/config.
pub(crate) async fn get(app: Arc<App>, call: Call) -> Answer {
    let request = pb::GetConfigRequest {
        workspace_id: call.workspace_id()?.to_string(),
    };
    let document = app
        .provisioner
        .call(&call.caller, request, |mut c, r| async move {
            c.get_config(r).await
        })
        .await?;
    let body = Map::new().json_text("data", &document.data);
    Ok(answer::ok(body.finish()))
}

/// PATCH /workspaces/:id/config.
pub(crate) async fn merge(app: Arc<App>, call: Call) -> Answer {
    let workspace_id = call.workspace_id()?.to_string();
    if call.body.len() > MOST {
        let text = "body too large or unreadable";
        return Ok(error_response(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    let data = String::from_utf8(call.body.to_vec()).map_err(|_| bad_request("invalid JSON"))?;
    let request = pb::MergeConfigRequest { workspace_id, data };
    app.provisioner
        .call(&call.caller, request, |mut c, r| async move {
            c.merge_config(r).await
        })
        .await?;
    Ok(answer::status("updated"))
}
