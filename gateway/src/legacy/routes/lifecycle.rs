//! Restart, pause, resume, hibernate, failures of a start-up, and the end of a workspace
//! (contract/workspaces.md).

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use candor_kernel::{Caller, Error, Reason, Status};
use candor_proto::provisioner::v1 as pb;
use candor_proto::registry::v1 as registry;

use crate::legacy::App;
use crate::legacy::answer::{self, Answer};
use crate::legacy::call::{Call, bad_request};
use crate::legacy::json::bind::Object;
use crate::legacy::json::encode::{Map, Members as _, array};

/// Longest wait for moves of a whole family, and for a template.
const MOVED_WITHIN: Duration = Duration::from_secs(22);
/// Longest wait for the end of instances; the provisioner gives up before.
const ENDED_WITHIN: Duration = Duration::from_secs(37);

/// POST /workspaces/:id/restart; what is no JSON says nothing.
pub(crate) async fn restart(app: Arc<App>, call: Call) -> Answer {
    let body = Object::parse(&call.body).unwrap_or_default();
    let is_set = |name| body.boolean(name).ok().flatten().unwrap_or_default();
    let request = pb::RestartWorkspaceRequest {
        id: call.workspace_id()?.to_string(),
        template: body.string("template").ok().flatten().unwrap_or_default(),
        apply_template: is_set("apply_template"),
        reset: is_set("reset") || call.flag("reset"),
        rebuild_config: is_set("rebuild_config"),
    };
    let done = app
        .provisioner
        .call_within(MOVED_WITHIN, &call.caller, request, |mut c, r| async move {
            c.restart_workspace(r).await
        })
        .await?;
    let status: Status = done.status.parse().map_err(Error::internal)?;
    let body = Map::new()
        .string("config_dir", &done.config_dir)
        .bool("reset_session", done.reset_session)
        .string("status", status.legacy_label());
    Ok(answer::ok(body.finish()))
}

/// POST /workspaces/:id/pause.
pub(crate) async fn pause(app: Arc<App>, call: Call) -> Answer {
    let request = pb::PauseWorkspaceRequest {
        id: call.workspace_id()?.to_string(),
    };
    let done = app
        .provisioner
        .call_within(MOVED_WITHIN, &call.caller, request, |mut c, r| async move {
            c.pause_workspace(r).await
        })
        .await?;
    let body = Map::new()
        .int("paused_count", done.paused_count.into())
        .string("status", "paused");
    Ok(answer::ok(body.finish()))
}

/// POST /workspaces/:id/resume.
pub(crate) async fn resume(app: Arc<App>, call: Call) -> Answer {
    let request = pb::ResumeWorkspaceRequest {
        id: call.workspace_id()?.to_string(),
    };
    let done = app
        .provisioner
        .call_within(MOVED_WITHIN, &call.caller, request, |mut c, r| async move {
            c.resume_workspace(r).await
        })
        .await?;
    let body = Map::new()
        .int("resumed_count", done.resumed_count.into())
        .string("status", "provisioning");
    Ok(answer::ok(body.finish()))
}

/// POST /workspaces/:id/hibernate?force=true: the real outcome (deviation D21).
pub(crate) async fn hibernate(app: Arc<App>, call: Call) -> Answer {
    let request = pb::HibernateWorkspaceRequest {
        id: call.workspace_id()?.to_string(),
        force: call.flag("force"),
    };
    app.provisioner
        .call_within(ENDED_WITHIN, &call.caller, request, |mut c, r| async move {
            c.hibernate_workspace(r).await
        })
        .await?;
    Ok(answer::status("hibernated"))
}

/// POST /admin/workspaces/:id/bootstrap-failed.
pub(crate) async fn bootstrap_failed(app: Arc<App>, call: Call) -> Answer {
    const MALFORMED: &str = "invalid request body";
    let body = call.object(MALFORMED)?;
    let text = |name| {
        let text = body.string(name).map_err(|_| bad_request(MALFORMED));
        text.map(Option::unwrap_or_default)
    };
    let request = pb::ReportBootstrapFailureRequest {
        id: call.workspace_id()?.to_string(),
        error: text("error")?,
        log_tail: text("log_tail")?,
    };
    let done = app
        .provisioner
        .call(&call.caller, request, |mut c, r| async move {
            c.report_bootstrap_failure(r).await
        })
        .await?;
    let body = match done.no_change {
        true => Map::new().bool("no_change", true),
        false => Map::new(),
    };
    Ok(answer::ok(body.bool("ok", true).finish()))
}

/// GET /workspaces/:id/console: nothing that Candor runs has one.
pub(crate) async fn console(_: Arc<App>, _: Call) -> Answer {
    Err(Error::new(
        Reason::NotAvailable,
        "console output unavailable on this deployment (no control plane)",
    ))
}

/// DELETE /workspaces/:id?confirm=true&purge=true. The removal stands at once; the answer
/// waits until nothing runs any more.
pub(crate) async fn delete(app: Arc<App>, call: Call) -> Answer {
    let request = registry::DeleteWorkspaceRequest {
        id: call.workspace_id()?.to_string(),
        confirm: call.flag("confirm"),
        purge: call.flag("purge"),
    };
    let done = app
        .registry
        .call(&call.caller, request, |mut c, r| async move {
            c.delete_workspace(r).await
        })
        .await?;
    if done.status == "confirmation_required" {
        return Ok(confirmation_required(&done));
    }
    let left = still_running(&app, &done.removed_ids).await;
    if !left.is_empty() {
        return Ok(not_stopped(&done, &left));
    }
    let body = Map::new()
        .int("cascade_deleted", done.cascade_deleted.into())
        .string("status", &done.status);
    Ok(answer::ok(body.finish()))
}

/// Those of which something may still run, each with why that is so.
async fn still_running(app: &App, removed: &[String]) -> Vec<String> {
    if removed.is_empty() {
        return Vec::new();
    }
    let request = pb::AwaitRemovalRequest {
        ids: removed.to_vec(),
    };
    // Who deletes may wait; what the platform does by itself has no other caller.
    let caller = Caller::system("gateway");
    let waited = app
        .provisioner
        .call_within(ENDED_WITHIN, &caller, request, |mut c, r| async move {
            c.await_removal(r).await
        })
        .await;
    let told = |ids: &[String], why: &str| ids.iter().map(|id| format!("{id}: {why}")).collect();
    match waited {
        Ok(answer) => told(&answer.left, "its instance has not ended yet"),
        Err(error) => {
            tracing::warn!(
                reason = error.reason().code(),
                internal = error.internal_text(),
                "whether instances of removed workspaces ended is not known: {error}"
            );
            told(removed, "whether its instance ended is not known")
        }
    }
}

fn not_stopped(done: &registry::DeleteWorkspaceResponse, left: &[String]) -> Response {
    let failures = i64::try_from(left.len()).unwrap_or(i64::MAX);
    let text = format!(
        "workspace marked removed, but {failures} stop call(s) failed — please retry: {}",
        left.join("\n")
    );
    let body = Map::new()
        .string("error", &text)
        .int("removed_count", i64::from(done.cascade_deleted) + 1)
        .int("stop_failures", failures);
    answer::json(StatusCode::INTERNAL_SERVER_ERROR, body.finish())
}

fn confirmation_required(done: &registry::DeleteWorkspaceResponse) -> Response {
    let children = done.children.iter().map(|child| {
        Map::new()
            .string("id", &child.id)
            .string("name", &child.name)
            .finish()
    });
    let count = i64::try_from(done.children.len()).unwrap_or(i64::MAX);
    let body = Map::new()
        .encoded("children", &array(children))
        .int("children_count", count)
        .string(
            "message",
            "This workspace has sub-workspaces. Delete with ?confirm=true to cascade delete.",
        )
        .string("status", &done.status);
    answer::json(StatusCode::CONFLICT, body.finish())
}
