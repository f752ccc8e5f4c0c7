//! List, show, state and budget (contract/workspaces.md).

use std::sync::Arc;

use axum::http::StatusCode;
use candor_proto::registry::v1 as pb;

use crate::legacy::App;
use crate::legacy::answer::{self, Answer};
use crate::legacy::call::{Call, bad_request};
use crate::legacy::json::bind::Object;
use crate::legacy::json::encode::{Map, Members as _, Struct, array};
use crate::legacy::shapes;

/// GET /workspaces.
pub(crate) async fn list(app: Arc<App>, call: Call) -> Answer {
    let mut items = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListWorkspacesRequest { page_token };
        let page = app
            .registry
            .call(&call.caller, request, |mut c, r| async move {
                c.list_workspaces(r).await
            })
            .await?;
        items.extend(page.workspaces.iter().map(shapes::in_list));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(answer::ok(array(items)));
        }
    }
}

/// GET /workspaces/:id, removed ones included.
pub(crate) async fn get(app: Arc<App>, call: Call) -> Answer {
    let id = call.workspace_id()?.to_string();
    let found = app
        .registry
        .call(
            &call.caller,
            pb::GetWorkspaceRequest { id },
            |mut c, r| async move { c.get_workspace(r).await },
        )
        .await?;
    Ok(answer::ok(shapes::alone(&found)))
}

/// GET /workspaces/:id/state: whether an agent should go on.
pub(crate) async fn state(app: Arc<App>, call: Call) -> Answer {
    let workspace_id = call.workspace_id()?.to_string();
    let request = pb::GetStateRequest { workspace_id };
    let state = app
        .registry
        .call(&call.caller, request, |mut c, r| async move {
            c.get_state(r).await
        })
        .await?;
    let status = shapes::status(state.status);
    let mut body = Map::new()
        .bool("deleted", state.deleted)
        .string("workspace_id", &state.workspace_id);
    if !status.is_empty() {
        body = body.string("status", status);
    }
    if state.deleted {
        return Ok(answer::json(StatusCode::NOT_FOUND, body.finish()));
    }
    body = body.bool("paused", state.paused);
    if state.superseded {
        body = body.bool("superseded", true).int("epoch", state.epoch);
    }
    Ok(answer::ok(body.finish()))
}

/// GET /workspaces/:id/budget, US cents.
pub(crate) async fn budget(app: Arc<App>, call: Call) -> Answer {
    let workspace_id = call.workspace_id()?.to_string();
    let request = pb::GetBudgetRequest { workspace_id };
    let budget = app
        .registry
        .call(&call.caller, request, |mut c, r| async move {
            c.get_budget(r).await
        })
        .await?;
    Ok(answer::ok(in_cents(&budget)))
}

/// PATCH /workspaces/:id/budget.
pub(crate) async fn set_budget(app: Arc<App>, call: Call) -> Answer {
    let request = pb::UpdateBudgetRequest {
        workspace_id: call.workspace_id()?.to_string(),
        budget_limit: limit(&call.object("invalid request body")?)?,
    };
    let budget = app
        .registry
        .call(&call.caller, request, |mut c, r| async move {
            c.update_budget(r).await
        })
        .await?;
    Ok(answer::ok(in_cents(&budget)))
}

/// The new limit; `null` clears it, fractions are cut.
fn limit(object: &Object) -> Result<Option<i64>, candor_kernel::Error> {
    const NO_INTEGER: &str = "budget_limit must be an integer (USD cents) or null";
    if !object.has("budget_limit") {
        return Err(bad_request("budget_limit field is required"));
    }
    let given = object
        .float("budget_limit")
        .map_err(|_| bad_request(NO_INTEGER))?;
    let Some(given) = given else {
        return Ok(None);
    };
    if given < 0.0 {
        return Err(bad_request("budget_limit must be >= 0 (USD cents)"));
    }
    // Beyond 2^53 cents a double is no exact amount any more; the text is.
    let exact = object.integer_i64("budget_limit").ok().flatten();
    match exact {
        Some(cents) => Ok(Some(cents)),
        #[allow(clippy::cast_possible_truncation)] // cut on purpose, in range
        None if given < 9_007_199_254_740_992.0 => Ok(Some(given.trunc() as i64)),
        None => Err(bad_request(NO_INTEGER)),
    }
}

fn in_cents(budget: &pb::Budget) -> String {
    Struct::new()
        .member("budget_limit", |json| {
            shapes::nullable_int(json, budget.budget_limit);
        })
        .int("monthly_spend", budget.monthly_spend)
        .member("budget_remaining", |json| {
            shapes::nullable_int(json, budget.budget_remaining);
        })
        .finish()
}
