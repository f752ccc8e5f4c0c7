//! Creates workspaces (rule R12; contract/workspaces.md).

use std::sync::Arc;

use candor_kernel::decision::{Creation, CreationKind, Decision, Profile};
use candor_kernel::{Error, Occurrence, Reason, Status, WorkspaceId, WorkspaceState, decide};
use candor_proto::registry::v1 as pb;

use super::registration::mint;
use super::{Call, checks};
use crate::app::App;
use crate::store::create::{self, NewWorkspace};
use crate::store::decisions::{self, Cause};
use crate::store::{Store, Tx, canvas, state, tokens, update};
use crate::{fields, redact, secrets, wire};

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
    let id = WorkspaceId::from_uuid(uuid::Uuid::now_v7());
    let decision = first_decision(&request, &plan);
    let status = decision
        .next
        .as_ref()
        .map_or(Status::Provisioning, |next| next.status);

    let mut tx = app.store.begin().await?;
    if let Some(parent) = plan.parent_id {
        hold_parent(&mut tx, parent).await?;
    }
    create::insert(&mut tx, &new_row(id, &request, &plan, status)).await?;
    belongings(&app, &mut tx, id, &request).await?;
    if !plan.external {
        let config = serde_json::json!({
            "name": request.name, "runtime": plan.runtime, "tier": plan.tier,
            "template": request.template,
        });
        create::insert_config(&mut tx, id, &config).await?;
    }
    let cause = Cause {
        traceparent: call.traceparent,
        evidence: String::new(),
    };
    for event in &decision.events {
        decisions::insert_event(
            &mut tx,
            id,
            event.event_type.label(),
            &event.payload,
            &cause,
        )
        .await?;
    }
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

/// What the status table says about a new workspace.
fn first_decision(request: &pb::CreateWorkspaceRequest, plan: &Plan<'_>) -> Decision {
    let kind = match (plan.external, plan.awaiting) {
        (true, true) => CreationKind::ExternalAwaiting,
        (true, false) => CreationKind::ExternalWithUrl,
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
    for (key, value) in &request.secrets {
        checks::text("secrets", key)?;
        checks::text("secrets", value)?;
        secrets::check_name(key)?;
    }
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
        last_sample_error: if plan.external { "" } else { NO_BACKEND_HINT },
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
        let content = redact::redact(&memory.content[..end]);
        create::insert_memory(tx, id, &content, scope).await?;
    }
    Ok(())
}
