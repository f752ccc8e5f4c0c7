//! Delegations.

use std::sync::Arc;

use candor_identity::{Call, Who};
use candor_kernel::{Caller, Error, Reason, WorkspaceId};
use candor_peers::time::timestamp;
use candor_proto::relay::v1 as pb;
use prost::Message as _;
use uuid::Uuid;

use super::workspace;
use crate::app::App;
use crate::delegations;
use crate::ledger;
use crate::record;
use crate::store::commit;
use crate::store::delegations::{self as store, Delegation, NewDelegation};
use crate::store::entries::NewEntry;
use crate::store::outbox;
use crate::target::{Admission, Target};

/// Delegations of one answer, at most.
const MOST: i32 = 50;
/// Bytes of an id or a key, at most.
const LONGEST: usize = 512;

/// Who delegates: the workspace itself, or a person for it. Nobody, since there is
/// nobody, is told that first (deviation D48).
async fn delegator(app: &App, call: &Call, id: WorkspaceId) -> Result<Caller, Error> {
    known(app, id).await?;
    let caller = call.principal(Who::WorkspaceVoice, id).await?;
    let call = Call {
        caller,
        inbound: None,
        traceparent: call.traceparent,
    };
    call.self_or_operator(id)?;
    Ok(call.caller)
}

fn name(field: &'static str, text: &str) -> Result<(), Error> {
    if text.len() > LONGEST || text.contains('\0') {
        return Err(Error::field(
            field,
            format!("{field} must be at most {LONGEST} bytes without NUL"),
        ));
    }
    Ok(())
}

fn target_id(text: &str) -> Result<WorkspaceId, Error> {
    text.parse()
        .map_err(|_| Error::field("target_id", "target_id must be a valid UUID"))
}

async fn known(app: &App, id: WorkspaceId) -> Result<(), Error> {
    let mut connection = app.store.connection().await?;
    match store::is_workspace(&mut connection, id).await? {
        true => Ok(()),
        false => Err(Error::new(Reason::WorkspaceNotFound, "workspace not found")),
    }
}

pub(super) async fn delegate(
    app: Arc<App>,
    call: Call,
    request: pb::DelegateRequest,
) -> Result<pb::DelegateResponse, Error> {
    let source = workspace(&request.workspace_id)?;
    let target = target_id(&request.target_id)?;
    if request.task.is_empty() {
        return Err(Error::field("task", "task is required"));
    }
    name("idempotency_key", &request.idempotency_key)?;
    if source == target {
        return Err(Error::field("target_id", "self-delegation not permitted"));
    }
    let caller = delegator(&app, &call, source).await?;
    let id = Uuid::new_v4().to_string();
    let key = Some(request.idempotency_key.as_str()).filter(|key| !key.is_empty());
    let new = NewDelegation {
        source,
        id: &id,
        target,
        idempotency_key: key,
        status: "pending",
        activity_id: Uuid::now_v7(),
        noted: false,
        source_row: record::source(&caller).encode_to_vec(),
    };
    let meets = meets(&app, source, target).await?;
    let mut tx = app.store.begin().await?;
    if let Some(known) = store::create(&mut tx, &new).await? {
        return Ok(pb::DelegateResponse {
            delegation_id: known.id,
            status: known.status,
            idempotent_hit: true,
            target_id: known
                .target_id
                .map_or_else(String::new, |id| id.to_string()),
        });
    }
    let task = task(&new, &request.task, meets.polls());
    delegations::announce(&mut tx, &new, &request.task).await?;
    match meets {
        Meets::Refusal(error) => {
            delegations::step(&mut tx, source, &id, target.as_uuid(), "dispatched").await?;
            delegations::settle(&mut tx, source, &id, Err(error)).await?;
        }
        Meets::Ledger { .. } => {
            ledger::accept_task(&mut tx, &task).await?;
        }
    }
    commit(tx).await?;
    app.bell.ring();
    app.waker.accepted(target);
    Ok(pb::DelegateResponse {
        delegation_id: id,
        status: "delegated".to_owned(),
        idempotent_hit: false,
        target_id: target.to_string(),
    })
}

/// What a task meets at its target.
enum Meets {
    /// What a call would be refused with: the delegator's result.
    Refusal(String),
    Ledger {
        polls: bool,
    },
}

impl Meets {
    const fn polls(&self) -> bool {
        matches!(self, Self::Ledger { polls: true })
    }
}

/// There is no check up front: what a call would meet becomes the result
/// (contract/a2a.md, "Delegation").
async fn meets(app: &App, source: WorkspaceId, target: WorkspaceId) -> Result<Meets, Error> {
    use candor_kernel::ErrorKind::{NotFound, PermissionDenied};
    let refusal = |error: &Error| Ok(Meets::Refusal(error.public().to_owned()));
    let met = match Target::resolve(&app.resolver, target, Some(source)).await {
        Ok(target) => target,
        Err(error) if matches!(error.kind(), NotFound | PermissionDenied) => {
            return refusal(&error);
        }
        // Nothing is accepted that might not be allowed.
        Err(error) => return Err(error),
    };
    if !met.may_call {
        return refusal(&crate::target::access_denied());
    }
    if let Err(error) = met.may_be_sent(&Caller::system("relay")) {
        return refusal(&error);
    }
    app.wakes.notice(&met);
    Ok(match met.admit() {
        Admission::Dial => Meets::Ledger { polls: false },
        Admission::Poll => Meets::Ledger { polls: true },
        Admission::Refuse(error) => Meets::Refusal(error.public().to_owned()),
    })
}

/// The message of a task, with the delegation's id as its own.
fn task(new: &NewDelegation<'_>, text: &str, polls: bool) -> NewEntry {
    let body = serde_json::json!({
        "jsonrpc": "2.0",
        "id": Uuid::new_v4(),
        "method": "message/send",
        "params": {"message": {
            "role": "user",
            "messageId": new.id,
            "parts": [{"type": "text", "text": text}],
            "metadata": {"delegation_id": new.id},
        }},
    });
    NewEntry {
        id: Uuid::new_v4(),
        workspace: new.target,
        caller: new.source.to_string(),
        source: new.source_row.clone(),
        message_id: Some(new.id.to_owned()),
        method: "message/send".to_owned(),
        priority: ledger::TASK,
        body: body.to_string().into_bytes(),
        a2a_version: String::new(),
        polled: polls,
        attempts: 0,
        maybe_delivered: false,
        last_error: None,
        delay: 0.0,
        activity_id: Uuid::now_v7(),
        delegation_id: Some(new.id.to_owned()),
        listed: false,
    }
}

pub(super) async fn list(
    app: Arc<App>,
    call: Call,
    request: pb::ListDelegationsRequest,
) -> Result<pb::ListDelegationsResponse, Error> {
    let source = workspace(&request.workspace_id)?;
    call.self_or_operator(source)?;
    let limit = match request.limit {
        1..=MOST => request.limit,
        _ => MOST,
    };
    let mut connection = app.store.connection().await?;
    let newest = store::newest(&mut connection, source, i64::from(limit)).await?;
    let mut rows: Vec<pb::DelegationRow> = Vec::with_capacity(newest.len() * 2);
    for delegation in newest {
        rows.extend(result(source, &delegation));
        rows.push(own(source, delegation));
    }
    rows.sort_by_key(|row| {
        let at = row.created_at.as_ref();
        std::cmp::Reverse(at.map(|at| (at.seconds, at.nanos)))
    });
    rows.truncate(usize::try_from(limit).unwrap_or_default());
    Ok(pb::ListDelegationsResponse { rows })
}

fn own(source: WorkspaceId, of: Delegation) -> pb::DelegationRow {
    let target = of.target_id.map_or_else(String::new, |id| id.to_string());
    pb::DelegationRow {
        id: of.activity_id.to_string(),
        delegation_id: of.id,
        source_id: source.to_string(),
        summary: format!("Delegating to {target}"),
        target_id: target,
        status: of.status,
        created_at: Some(timestamp(of.created_at)),
        error: of.error.unwrap_or_default(),
        response_preview: String::new(),
        is_result: false,
    }
}

/// The row of a result; a failure names its delegation nowhere, as recorded.
fn result(source: WorkspaceId, of: &Delegation) -> Option<pb::DelegationRow> {
    let id = of.result_activity_id?;
    let target = of.target_id.filter(|_| !of.noted);
    let target = target.map(|id| id.to_string());
    let item = delegations::result_row(
        source,
        &[],
        id,
        &of.id,
        target.clone(),
        &match &of.error {
            None => Ok(of.preview.clone().unwrap_or_default()),
            Some(error) => Err(error.clone()),
        },
    );
    let summary = match item.what {
        Some(candor_proto::activity::v1::forward_item::What::Row(row)) => {
            row.row.and_then(|row| row.summary)
        }
        _ => None,
    };
    let completed = of.error.is_none();
    Some(pb::DelegationRow {
        id: id.to_string(),
        delegation_id: match completed {
            true => of.id.clone(),
            false => String::new(),
        },
        source_id: source.to_string(),
        target_id: target.unwrap_or_default(),
        summary: summary.unwrap_or_default(),
        status: of.status.clone(),
        created_at: of.settled_at.map(timestamp),
        error: of.error.clone().unwrap_or_default(),
        response_preview: of.preview.clone().unwrap_or_default(),
        is_result: true,
    })
}

pub(super) async fn record(
    app: Arc<App>,
    call: Call,
    request: pb::RecordDelegationRequest,
) -> Result<pb::RecordDelegationResponse, Error> {
    let source = workspace(&request.workspace_id)?;
    let target = target_id(&request.target_id)?;
    if request.delegation_id.is_empty() || request.task.is_empty() {
        return Err(Error::field("task", "task and delegation_id are required"));
    }
    name("delegation_id", &request.delegation_id)?;
    let caller = delegator(&app, &call, source).await?;
    let new = NewDelegation {
        source,
        id: &request.delegation_id,
        target,
        idempotency_key: None,
        status: "dispatched",
        activity_id: Uuid::now_v7(),
        noted: true,
        source_row: record::source(&caller).encode_to_vec(),
    };
    let mut tx = app.store.begin().await?;
    // The same again is noted already.
    if store::create(&mut tx, &new).await?.is_none() {
        delegations::announce(&mut tx, &new, &request.task).await?;
        commit(tx).await?;
        app.bell.ring();
    }
    Ok(pb::RecordDelegationResponse {})
}

pub(super) async fn update(
    app: Arc<App>,
    call: Call,
    request: pb::UpdateDelegationRequest,
) -> Result<pb::UpdateDelegationResponse, Error> {
    let source = workspace(&request.workspace_id)?;
    let result = match request.status.as_str() {
        "completed" => Ok(request.response_preview.replace('\0', "\u{fffd}")),
        "failed" => Err(request.error.replace('\0', "\u{fffd}")),
        _ => {
            return Err(Error::field(
                "status",
                "status must be 'completed' or 'failed'",
            ));
        }
    };
    name("delegation_id", &request.delegation_id)?;
    delegator(&app, &call, source).await?;
    let mut tx = app.store.begin().await?;
    let id = &request.delegation_id;
    let is_known = store::get(&mut tx, source, id).await?.is_some();
    if !delegations::settle(&mut tx, source, id, result.clone()).await? && !is_known {
        // Nobody noted it; who watches is told all the same, as ever.
        let told = delegations::told(source, id, None, &result);
        outbox::push(&mut tx, &[told]).await?;
    }
    commit(tx).await?;
    app.bell.ring();
    Ok(pb::UpdateDelegationResponse {})
}
