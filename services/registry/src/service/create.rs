//! Creates workspaces (rule R12; contract/workspaces.md).

use std::collections::HashMap;
use std::sync::Arc;

use candor_kernel::decision::{Creation, CreationKind, Decision, Profile};
use candor_kernel::{
    Epoch, Error, Occurrence, Reason, Status, WorkspaceId, WorkspaceState, decide,
};
use candor_process::telemetry::propagation::TraceParent;
use candor_proto::registry::v1 as pb;
use candor_secrets::redact;

use super::registration::mint;
use super::{Call, checks};
use crate::app::App;
use crate::store::create::{self, NewWorkspace};
use crate::store::decisions::{self, Cause};
use crate::store::placements::{self, Wanted};
use crate::store::{Store, Tx, canvas, state, tokens, update};
use crate::{fields, wire};

/// Told in the event of a workspace that no backend claims (recorded).
const NO_BACKEND: &str = "Docker not available on this platform instance";
/// Shown as that workspace's last error until its agent beats (recorded).
const NO_BACKEND_HINT: &str =
    "Docker not available — workspace containers require a Docker daemon or external provisioning.";
/// Bytes of an initial memory that are kept.
const MOST_MEMORY: usize = 100_000;

/// A request with its defaults filled in.
struct Plan<'a> {
    external: bool,
    awaiting: bool,
    tier: i32,
    runtime: &'a str,
    access: &'a str,
    parent_id: Option<WorkspaceId>,
}

pub(super) async fn create(
    app: Arc<App>,
    call: Call,
    request: pb::CreateWorkspaceRequest,
) -> Result<pb::CreateWorkspaceResponse, Error> {
    call.operator()?;
    let plan = plan(&request)?;
    let id = fresh_id();
    let mut tx = app.store.begin().await?;
    let backend = match plan.external {
        true => None,
        false => placements::backend_for(&mut tx, plan.runtime).await?,
    };
    let decision = first_decision(&request, &plan, backend.is_some());
    let status = decision
        .next
        .as_ref()
        .map_or(Status::Provisioning, |next| next.status);

    if let Some(parent) = plan.parent_id {
        hold_parent(&mut tx, parent).await?;
    }
    let row = NewWorkspace {
        last_sample_error: match (plan.external, &backend) {
            (false, None) => NO_BACKEND_HINT,
            _ => "",
        },
        ..new_row(id, &request, &plan, status)
    };
    create::insert(&mut tx, &row).await?;
    belongings(&app, &mut tx, id, &request).await?;
    match (&backend, plan.external) {
        (Some(backend), _) => place(&mut tx, id, backend, &request, &decision).await?,
        (None, false) => keep_config(&mut tx, id, &request, &plan).await?,
        (None, true) => {}
    }
    tell(&mut tx, id, &decision, call.traceparent).await?;
    create::record_first(&mut tx, id, decision.rule.code(), status, "created").await?;
    let auth_token = if plan.awaiting {
        let token = mint();
        tokens::insert(&mut tx, id, &token, None).await?;
        Some(token.reveal().to_owned())
    } else {
        None
    };
    Store::commit(tx).await?;
    app.watermark.credentials_changed();
    app.events_written.notify_one();
    Ok(pb::CreateWorkspaceResponse {
        id: id.to_string(),
        status: wire::status(status).into(),
        external: plan.external,
        awareness_namespace: format!("workspace:{id}"),
        workspace_access: plan.access.to_owned(),
        auth_token,
    })
}

/// Random from its first character on: the names of containers are made of the beginning.
fn fresh_id() -> WorkspaceId {
    WorkspaceId::from_uuid(uuid::Uuid::new_v4())
}

/// The first instance is wanted.
async fn place(
    tx: &mut Tx,
    id: WorkspaceId,
    backend: &str,
    request: &pb::CreateWorkspaceRequest,
    decision: &Decision,
) -> Result<(), Error> {
    let next = decision.next.as_ref();
    let fence = next.map_or(Epoch(1), |next| next.fence_epoch);
    create::set_fence(tx, id, fence).await?;
    let wanted = Wanted {
        id,
        backend,
        epoch: fence.0,
        automatic: false,
        reset_session: false,
        template: Some(&request.template),
        model: Some(&request.model),
    };
    placements::want_running(tx, &wanted).await
}

/// What nobody could provision is kept for later (recorded).
async fn keep_config(
    tx: &mut Tx,
    id: WorkspaceId,
    request: &pb::CreateWorkspaceRequest,
    plan: &Plan<'_>,
) -> Result<(), Error> {
    let config = serde_json::json!({
        "name": request.name, "runtime": plan.runtime, "tier": plan.tier,
        "template": request.template,
    });
    create::insert_config(tx, id, &config).await
}

async fn tell(
    tx: &mut Tx,
    id: WorkspaceId,
    decision: &Decision,
    traceparent: Option<TraceParent>,
) -> Result<(), Error> {
    let cause = Cause {
        traceparent,
        evidence: String::new(),
    };
    for event in &decision.events {
        let kind = event.event_type.label();
        decisions::insert_event(tx, id, kind, &event.payload, &cause).await?;
    }
    Ok(())
}

/// What the status table says about a new workspace.
fn first_decision(
    request: &pb::CreateWorkspaceRequest,
    plan: &Plan<'_>,
    backend: bool,
) -> Decision {
    let kind = match (plan.external, plan.awaiting) {
        (true, true) => CreationKind::ExternalAwaiting,
        (true, false) => CreationKind::ExternalWithUrl,
        (false, _) if backend => CreationKind::Container,
        (false, _) => CreationKind::ContainerWithoutBackend { error: NO_BACKEND },
    };
    let profile = Profile {
        name: &request.name,
        tier: plan.tier,
        runtime: plan.runtime,
    };
    let occurrence = Occurrence::Created(Creation { profile, kind });
    let unborn = WorkspaceState::unborn(plan.external);
    decide(&unborn, &occurrence, chrono::Utc::now())
}

/// The parent lives, and cannot be removed before the commit.
async fn hold_parent(tx: &mut Tx, parent: WorkspaceId) -> Result<(), Error> {
    update::lock_hierarchy(tx).await?;
    let found = state::load(tx, parent).await?;
    if found.is_some_and(|parent| parent.state.status != Status::Removed) {
        return Ok(());
    }
    Err(Error::new(
        Reason::ParentNotFound,
        "parent_id: no such workspace",
    ))
}

/// Checks everything before anything is written.
fn plan(request: &pb::CreateWorkspaceRequest) -> Result<Plan<'_>, Error> {
    fields::name("name", &request.name)?;
    if request.name.is_empty() {
        return Err(Error::field("name", "name must not be empty"));
    }
    fields::role(request.role.as_deref().unwrap_or_default())?;
    fields::model(&request.model)?;
    fields::runtime(&request.runtime)?;
    fields::template(&request.template)?;
    let directory = request
        .workspace_dir
        .as_deref()
        .filter(|dir| !dir.is_empty());
    if let Some(directory) = directory {
        fields::directory(directory)?;
    }
    let access = request
        .workspace_access
        .as_deref()
        .filter(|access| !access.is_empty());
    let access = access.unwrap_or("none");
    fields::access(access, directory)?;
    checks::text("url", &request.url)?;
    check_secrets(&request.secrets)?;
    for memory in &request.initial_memories {
        checks::text("initial_memories", &memory.content)?;
    }
    if request
        .canvas
        .as_ref()
        .is_some_and(|at| !at.x.is_finite() || !at.y.is_finite())
    {
        return Err(Error::field(
            "canvas",
            "canvas.x and canvas.y must be finite numbers",
        ));
    }
    let parent_id = request
        .parent_id
        .as_deref()
        .map(|id| wire::workspace_id("parent_id", id))
        .transpose()?;
    let external = request.external || request.runtime == "external";
    Ok(Plan {
        external,
        awaiting: external && request.url.is_empty(),
        tier: if request.tier == 0 { 3 } else { request.tier },
        runtime: match request.runtime.as_str() {
            _ if external => "external",
            "" => "langgraph",
            runtime => runtime,
        },
        access,
        parent_id,
    })
}

/// What is kept with a workspace is what can be added to it later.
fn check_secrets(secrets: &HashMap<String, String>) -> Result<(), Error> {
    for (key, value) in secrets {
        candor_secrets::check(key, value)?;
    }
    let bytes = secrets.values().map(String::len).sum();
    candor_secrets::check_amount(secrets.len(), bytes)
}

fn new_row<'a>(
    id: WorkspaceId,
    request: &'a pb::CreateWorkspaceRequest,
    plan: &Plan<'a>,
    status: Status,
) -> NewWorkspace<'a> {
    NewWorkspace {
        id,
        name: &request.name,
        role: request.role.as_deref().filter(|role| !role.is_empty()),
        tier: plan.tier,
        status,
        runtime: plan.runtime,
        url: (plan.external && !request.url.is_empty()).then_some(request.url.as_str()),
        parent_id: plan.parent_id,
        workspace_dir: request
            .workspace_dir
            .as_deref()
            .filter(|dir| !dir.is_empty()),
        workspace_access: plan.access,
        budget_limit: request.budget_limit,
        max_concurrent_tasks: request.max_concurrent_tasks.max(1),
        agent_card: None,
        last_sample_error: "",
    }
}

/// Secrets, place on the canvas, memories: acknowledged means kept.
async fn belongings(
    app: &App,
    tx: &mut Tx,
    id: WorkspaceId,
    request: &pb::CreateWorkspaceRequest,
) -> Result<(), Error> {
    for (key, value) in &request.secrets {
        let (sealed, version) = app.config.sealer.seal(key, value)?;
        create::insert_secret(tx, id, key, &sealed, version).await?;
    }
    let (x, y) = request
        .canvas
        .as_ref()
        .map_or((0.0, 0.0), |at| (at.x, at.y));
    canvas::set_position(tx, id, x, y).await?;
    for memory in &request.initial_memories {
        let scope = match memory.scope.to_uppercase().as_str() {
            "" => "LOCAL",
            "LOCAL" => "LOCAL",
            "TEAM" => "TEAM",
            "GLOBAL" => "GLOBAL",
            _ => continue,
        };
        if memory.content.is_empty() {
            continue;
        }
        let mut end = memory.content.len().min(MOST_MEMORY);
        while !memory.content.is_char_boundary(end) {
            end -= 1;
        }
        let content = redact(&memory.content[..end]);
        create::insert_memory(tx, id, &content, scope).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn workspaces_made_at_once_differ_from_their_first_characters_on() {
        let beginning = || fresh_id().to_string().chars().take(12).collect();
        let ids: HashSet<String> = (0..500).map(|_| beginning()).collect();
        assert_eq!(ids.len(), 500);
    }
}
