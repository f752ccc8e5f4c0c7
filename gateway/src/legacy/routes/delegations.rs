//! Tasks that a workspace hands to another (contract/a2a.md, "Delegation").

use std::sync::Arc;

use axum::http::StatusCode;
use candor_proto::relay::v1 as pb;

use crate::legacy::App;
use crate::legacy::answer::{self, Answer};
use crate::legacy::call::{Call, bad_request};
use crate::legacy::json::bind::Malformed;
use crate::legacy::json::encode::{Map, Members as _, array};
use crate::legacy::shapes::time;

/// Words of /delegate for a body that is none.
const NO_DELEGATION: &str = "invalid delegation request";
/// And of the others.
const MALFORMED: &str = "invalid request body";

/// POST /workspaces/:id/delegate.
pub(crate) async fn delegate(app: Arc<App>, call: Call) -> Answer {
    let object = call.object(NO_DELEGATION)?;
    let malformed = |_: Malformed| bad_request(NO_DELEGATION);
    let request = pb::DelegateRequest {
        workspace_id: call.workspace_id()?.to_string(),
        target_id: object.required_string("target_id").map_err(malformed)?,
        task: object.required_string("task").map_err(malformed)?,
        idempotency_key: object
            .string("idempotency_key")
            .map_err(malformed)?
            .unwrap_or_default(),
    };
    let made = app
        .relay
        .call(&call.caller, request, |mut c, r| async move {
            c.delegate(r).await
        })
        .await?;
    let body = Map::new()
        .string("delegation_id", &made.delegation_id)
        .string("status", &made.status)
        .string("target_id", &made.target_id);
    Ok(match made.idempotent_hit {
        true => answer::ok(body.bool("idempotent_hit", true).finish()),
        false => answer::json(StatusCode::ACCEPTED, body.finish()),
    })
}

/// GET /workspaces/:id/delegations.
pub(crate) async fn list(app: Arc<App>, call: Call) -> Answer {
    let request = pb::ListDelegationsRequest {
        workspace_id: call.workspace_id()?.to_string(),
        limit: 0,
    };
    let found = app
        .relay
        .call(&call.caller, request, |mut c, r| async move {
            c.list_delegations(r).await
        })
        .await?;
    Ok(answer::ok(array(found.rows.iter().map(row))))
}

fn row(row: &pb::DelegationRow) -> String {
    let item = Map::new()
        .string("id", &row.id)
        .string("type", "delegation")
        .string("source_id", &row.source_id)
        .string("target_id", &row.target_id)
        .string("summary", &row.summary)
        .string("status", &row.status)
        .member("created_at", |json| time(json, row.created_at.as_ref()));
    let optional = [
        ("delegation_id", &row.delegation_id),
        ("error", &row.error),
        ("response_preview", &row.response_preview),
    ];
    let given = optional.into_iter().filter(|(_, text)| !text.is_empty());
    given
        .fold(item, |item, (name, text)| item.string(name, text))
        .finish()
}

/// POST /workspaces/:id/delegations/record.
pub(crate) async fn record(app: Arc<App>, call: Call) -> Answer {
    let object = call.object(MALFORMED)?;
    let text = |name| {
        let text = object.required_string(name);
        text.map_err(|_: Malformed| bad_request(MALFORMED))
    };
    let request = pb::RecordDelegationRequest {
        workspace_id: call.workspace_id()?.to_string(),
        target_id: text("target_id")?,
        task: text("task")?,
        delegation_id: text("delegation_id")?,
    };
    let id = request.delegation_id.clone();
    app.relay
        .call(&call.caller, request, |mut c, r| async move {
            c.record_delegation(r).await
        })
        .await?;
    Ok(answer::json(StatusCode::ACCEPTED, named(&id, "recorded")))
}

/// POST /workspaces/:id/delegations/:delegation_id/update.
pub(crate) async fn update(app: Arc<App>, call: Call) -> Answer {
    let object = call.object(MALFORMED)?;
    let malformed = |_: Malformed| bad_request(MALFORMED);
    let text = |name| {
        let text = object.string(name).map_err(malformed)?;
        Ok::<_, candor_kernel::Error>(text.unwrap_or_default())
    };
    let request = pb::UpdateDelegationRequest {
        workspace_id: call.workspace_id()?.to_string(),
        delegation_id: call.item.clone(),
        status: object.required_string("status").map_err(malformed)?,
        error: text("error")?,
        response_preview: text("response_preview")?,
    };
    let status = request.status.clone();
    app.relay
        .call(&call.caller, request, |mut c, r| async move {
            c.update_delegation(r).await
        })
        .await?;
    Ok(answer::ok(named(&call.item, &status)))
}

fn named(id: &str, status: &str) -> String {
    Map::new()
        .string("delegation_id", id)
        .string("status", status)
        .finish()
}
