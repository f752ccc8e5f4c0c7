//! POST /workspaces (contract/workspaces.md).

use std::sync::Arc;

use axum::http::StatusCode;
use candor_kernel::{Error, Reason};
use candor_proto::provisioner::v1 as provisioner;
use candor_proto::registry::v1 as pb;

use super::connection::connection;
use crate::legacy::App;
use crate::legacy::answer::{self, Answer};
use crate::legacy::call::{Call, bad_request, bind};
use crate::legacy::json::bind::{BindError, Object};
use crate::legacy::json::encode::{Map, Members as _};
use crate::legacy::shapes;

const MALFORMED: &str = "invalid workspace payload";

/// POST /workspaces.
pub(crate) async fn create(app: Arc<App>, call: Call) -> Answer {
    let object = call.object(MALFORMED)?;
    let mut request = request(&object).map_err(bind(MALFORMED))?;
    from_template(&app, &call, &mut request).await?;
    let created = app
        .registry
        .call(&call.caller, request, |mut c, r| async move {
            c.create_workspace(r).await
        })
        .await
        .map_err(worded)?;
    let mut body = Map::new().string("id", &created.id);
    if created.external {
        body = body.bool("external", true);
        body = match &created.auth_token {
            None => body.string("status", shapes::status(created.status)),
            Some(token) => body
                .encoded(
                    "connection",
                    &connection(&app.config, &call, &created.id, token),
                )
                .string("status", "awaiting_agent"),
        };
    } else {
        // Told before anything was tried, as the original does: what became of
        // it is in the next answer (recorded).
        body = body
            .string("awareness_namespace", &created.awareness_namespace)
            .string("status", "provisioning")
            .string("workspace_access", &created.workspace_access);
    }
    Ok(answer::json(StatusCode::CREATED, body.finish()))
}

/// What is left out is as the template says: the registry knows no templates.
async fn from_template(
    app: &App,
    call: &Call,
    request: &mut pb::CreateWorkspaceRequest,
) -> Result<(), Error> {
    if request.template.is_empty() || (!request.runtime.is_empty() && !request.model.is_empty()) {
        return Ok(());
    }
    let asked = provisioner::DescribeTemplateRequest {
        name: request.template.clone(),
    };
    let told = app
        .provisioner
        .call(&call.caller, asked, |mut c, r| async move {
            c.describe_template(r).await
        })
        .await?;
    if request.runtime.is_empty() {
        request.runtime = told.runtime;
    }
    if request.model.is_empty() {
        request.model = told.model;
    }
    Ok(())
}

fn request(object: &Object) -> Result<pb::CreateWorkspaceRequest, BindError> {
    let text = |name| object.string(name).map(Option::unwrap_or_default);
    Ok(pb::CreateWorkspaceRequest {
        name: object.required_string("name")?,
        role: object.string("role")?,
        template: text("template")?,
        tier: object.integer_i32("tier")?.unwrap_or_default(),
        model: text("model")?,
        runtime: text("runtime")?,
        external: object.boolean("external")?.unwrap_or_default(),
        url: text("url")?,
        workspace_dir: object.string("workspace_dir")?,
        workspace_access: object.string("workspace_access")?,
        parent_id: object.string("parent_id")?,
        budget_limit: object.integer_i64("budget_limit")?,
        secrets: object
            .string_map("secrets")?
            .unwrap_or_default()
            .into_iter()
            .collect(),
        max_concurrent_tasks: object
            .integer_i32("max_concurrent_tasks")?
            .unwrap_or_default(),
        canvas: canvas(object)?,
        initial_memories: memories(object)?,
    })
}

fn canvas(object: &Object) -> Result<Option<pb::CanvasPosition>, BindError> {
    let Some(canvas) = object.object("canvas")? else {
        return Ok(None);
    };
    Ok(Some(pb::CanvasPosition {
        x: canvas.float("x")?.unwrap_or_default(),
        y: canvas.float("y")?.unwrap_or_default(),
    }))
}

fn memories(object: &Object) -> Result<Vec<pb::InitialMemory>, BindError> {
    object
        .array("initial_memories")?
        .unwrap_or_default()
        .iter()
        .map(|item| {
            let item = Object::parse(item.as_bytes())?;
            Ok(pb::InitialMemory {
                content: item.string("content")?.unwrap_or_default(),
                scope: item.string("scope")?.unwrap_or_default(),
            })
        })
        .collect()
}

/// The original hides which rule of a text was broken; reasons that it answers
/// with 500 are told (D37).
fn worded(error: Error) -> Error {
    if error.reason() != Reason::InvalidField {
        return error;
    }
    match error.field_name() {
        Some("name" | "role" | "model" | "runtime") if !error.public().contains("NUL") => {
            bad_request("invalid workspace fields")
        }
        _ => error,
    }
}
