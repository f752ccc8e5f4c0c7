//! PATCH /workspaces/:id: all or nothing, and a wrong field is named (D18, D19,
//! D40).

use std::sync::Arc;

use candor_kernel::Error;
use candor_proto::registry::v1 as pb;

use crate::legacy::App;
use crate::legacy::answer::{self, Answer};
use crate::legacy::call::{Call, bad_request};
use crate::legacy::json::bind::{BindError, Malformed, Object};
use crate::legacy::json::encode::{Map, Members as _};

/// PATCH /workspaces/:id.
pub(crate) async fn update(app: Arc<App>, call: Call) -> Answer {
    let id = call.workspace_id()?;
    let object = call.object("invalid request body")?;
    let request = request(id.to_string(), &object)?;
    let done = app
        .registry
        .call(&call.caller, request, |mut c, r| async move {
            c.update_workspace(r).await
        })
        .await?;
    let mut body = Map::new().string("status", &done.status);
    if done.needs_restart {
        body = body.bool("needs_restart", true);
    }
    Ok(answer::ok(body.finish()))
}

fn request(id: String, object: &Object) -> Result<pb::UpdateWorkspaceRequest, Error> {
    let text = |name: &'static str| {
        object
            .string(name)
            .map_err(|Malformed| bad_request(format!("{name} must be a string")))
    };
    let clearable = |name: &'static str| {
        if !object.has(name) {
            return Ok(None);
        }
        let value = object
            .string(name)
            .map_err(|Malformed| bad_request(format!("{name} must be a string or null")))?;
        Ok::<_, Error>(Some(pb::OptionalText { value }))
    };
    let tier = object.integer_i32("tier").map_err(|error| match error {
        BindError::Malformed => bad_request("tier must be an integer"),
        out_of_range @ BindError::OutOfRange { .. } => bad_request(out_of_range.to_string()),
    })?;
    Ok(pb::UpdateWorkspaceRequest {
        id,
        name: text("name")?,
        role: clearable("role")?,
        tier,
        parent_id: clearable("parent_id")?,
        runtime: text("runtime")?,
        collapsed: object
            .boolean("collapsed")
            .map_err(|Malformed| bad_request("collapsed must be true or false"))?,
        position: position(object)?,
        workspace_dir: clearable("workspace_dir")?,
    })
}

/// Both coordinates; one alone is ignored (recorded).
fn position(object: &Object) -> Result<Option<pb::CanvasPosition>, Error> {
    if !object.has("x") || !object.has("y") {
        return Ok(None);
    }
    let number = |name: &'static str| {
        object
            .float(name)
            .map_err(|Malformed| bad_request(format!("{name} must be a number")))
    };
    Ok(match (number("x")?, number("y")?) {
        (Some(x), Some(y)) => Some(pb::CanvasPosition { x, y }),
        _ => None,
    })
}
