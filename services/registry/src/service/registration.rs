//! Register and update-card: what an agent says about itself.

use std::sync::Arc;

use candor_egress::{UrlVerdict, check_registered_url};
use candor_identity::Who;
use candor_identity::call::MOST_LOOKS;
use candor_kernel::token::TokenText;
use candor_kernel::{
    AuthMethod, Epoch, Error, Occurrence, Outcome, Reason, Status, WorkspaceCaller, WorkspaceId,
    WorkspaceState, decide,
};
use candor_proto::registry::v1 as pb;
use rand::RngCore as _;

use super::{Call, checks};
use crate::app::App;
use crate::store::create::{self, NewWorkspace};
use crate::store::decisions::{self, Cause};
use crate::store::state::{self, Loaded};
use crate::store::workspaces::{self, Endpoint};
use crate::store::{Store, Tx, placements, tokens};
use crate::wire;

/// A new token from the operating system's randomness.
pub(super) fn mint() -> TokenText {
    let mut bytes = [0_u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    TokenText::from_random(bytes)
}

/// An agent announces itself; again if its proof was out of date.
pub(super) async fn register(
    app: Arc<App>,
    call: Call,
    request: pb::RegisterRequest,
) -> Result<pb::RegisterResponse, Error> {
    let mut settled = try_register(Arc::clone(&app), call.clone(), request.clone()).await;
    for _ in 1..MOST_LOOKS {
        if !call.is_outdated(&settled, &request.id) {
            break;
        }
        settled = try_register(Arc::clone(&app), call.clone(), request.clone()).await;
    }
    settled
}

/// Rules R1, R1b; contract/registry.md.
async fn try_register(
    app: Arc<App>,
    call: Call,
    request: pb::RegisterRequest,
) -> Result<pb::RegisterResponse, Error> {
    let id = wire::workspace_id("id", &request.id)?;
    let caller = call.agent(Who::Register, id).await?;
    checks::json("agent_card", &request.agent_card)?;
    let address = address(&request).await?;
    let mut tx = app.store.begin().await?;
    let before = lock_or_create(&mut tx, id, &caller).await?;
    let placed = placements::url(&mut tx, id).await?;
    let address = address.unless_placed(placed.as_deref());
    let endpoint = endpoint(&request, &address)?;
    if caller.auth_version != before.auth_version {
        return Err(Error::new(
            Reason::CredentialChanged,
            "invalid workspace auth token",
        ));
    }
    let occurrence = Occurrence::Registered {
        caller: &caller,
        url: address.url,
        agent_card: &request.agent_card,
    };
    let decision = decide(&before.state, &occurrence, chrono::Utc::now());
    match &decision.outcome {
        Outcome::Applied => {}
        Outcome::Stale => return Ok(registered(before.state.epoch, true, None)),
        Outcome::Removed => return Err(removed()),
        Outcome::Refused(error) => return Err(error.clone()),
    }
    let cause = Cause {
        traceparent: call.traceparent,
        evidence: "registered".to_owned(),
    };
    if !decisions::persist(&mut tx, &before, &decision, &cause).await? {
        return Err(Error::internal("a locked workspace changed"));
    }
    workspaces::set_endpoint(&mut tx, id, &endpoint).await?;
    let ttl = app
        .config
        .leases
        .ttl_of(before.state.external)
        .as_secs_f64();
    workspaces::renew_existing_lease(&mut tx, id, ttl).await?;
    let auth_token = first_token(&mut tx, id, &before).await?;
    Store::commit(tx).await?;
    if auth_token.is_some() {
        app.watermark.credentials_changed();
    }
    app.events_written.notify_one();
    let epoch = decision
        .next
        .as_ref()
        .map_or(before.state.epoch, |next| next.epoch);
    Ok(registered(epoch, false, auth_token))
}

fn registered(epoch: Epoch, superseded: bool, auth_token: Option<String>) -> pb::RegisterResponse {
    pb::RegisterResponse {
        status: "registered".to_owned(),
        auth_token,
        superseded,
        epoch: epoch.0,
    }
}

/// Where an agent says that it is.
struct Address<'a> {
    /// Empty if it has no inbound address.
    url: &'a str,
    /// Why it cannot be dialled, if it cannot.
    unreachable: Option<String>,
}

impl<'a> Address<'a> {
    /// Where an instance of the platform's own is, the platform knows better.
    fn unless_placed(self, placed: Option<&'a str>) -> Self {
        match placed {
            Some(url) => Address {
                url,
                unreachable: None,
            },
            None => self,
        }
    }
}

fn endpoint<'a>(
    request: &'a pb::RegisterRequest,
    address: &'a Address<'a>,
) -> Result<Endpoint<'a>, Error> {
    Ok(Endpoint {
        url: address.url,
        agent_card: &request.agent_card,
        delivery_mode: delivery_mode(request.delivery_mode.as_deref(), address.url)?,
        unreachable_reason: address.unreachable.as_deref(),
    })
}

async fn address(request: &pb::RegisterRequest) -> Result<Address<'_>, Error> {
    let given = request.url.as_deref().unwrap_or_default();
    checks::text("url", given)?;
    let (url, unreachable) = match check_registered_url(given).await {
        Ok(UrlVerdict::NoInbound) => ("", None),
        Ok(UrlVerdict::Reachable) => (given, None),
        Ok(UrlVerdict::Unreachable { reason }) => (given, Some(reason)),
        Err(refused) => return Err(Error::new(Reason::InvalidUrl, format!("url: {refused}"))),
    };
    Ok(Address { url, unreachable })
}

fn delivery_mode(given: Option<&str>, url: &str) -> Result<&'static str, Error> {
    match given {
        None | Some("") => Ok(if url.is_empty() { "poll" } else { "push" }),
        Some("push") => Ok("push"),
        Some("poll") => Ok("poll"),
        Some(_) => Err(Error::field(
            "delivery_mode",
            "delivery_mode must be push or poll",
        )),
    }
}

fn removed() -> Error {
    Error::new(Reason::WorkspaceRemoved, "workspace was removed")
}

/// Locks the workspace's row; an unknown id becomes a root workspace if the
/// caller merely claims it, which only open listeners let through (D12).
async fn lock_or_create(
    tx: &mut Tx,
    id: WorkspaceId,
    caller: &WorkspaceCaller,
) -> Result<Loaded, Error> {
    state::lock(tx, &[id.as_uuid()]).await?;
    if let Some(loaded) = state::load(tx, id).await? {
        return Ok(loaded);
    }
    if state::is_tombstone(tx, id).await? {
        return Err(removed());
    }
    if caller.auth != AuthMethod::Claimed {
        return Err(Error::new(
            Reason::CredentialChanged,
            "invalid workspace auth token",
        ));
    }
    let name = id.to_string();
    create::insert(
        tx,
        &NewWorkspace {
            id,
            name: &name,
            role: None,
            tier: 1,
            status: WorkspaceState::unborn(false).status,
            runtime: "langgraph",
            url: None,
            parent_id: None,
            workspace_dir: None,
            workspace_access: "none",
            budget_limit: None,
            max_concurrent_tasks: 1,
            agent_card: None,
            last_sample_error: "",
        },
    )
    .await?;
    create::record_first(
        tx,
        id,
        "R12",
        Status::Provisioning,
        "registered an unknown id",
    )
    .await?;
    state::lock(tx, &[id.as_uuid()]).await?;
    state::load(tx, id)
        .await?
        .ok_or_else(|| Error::internal("a new row vanished"))
}

/// The first register of a workspace without live tokens hands one out, once.
async fn first_token(
    tx: &mut Tx,
    id: WorkspaceId,
    before: &Loaded,
) -> Result<Option<String>, Error> {
    if tokens::count_live(tx, id).await? > 0 {
        return Ok(None);
    }
    let token = mint();
    let provisioned = before.state.fence_epoch.0 > 0 && !before.state.external;
    let epoch = provisioned.then_some(before.state.fence_epoch.0);
    tokens::insert(tx, id, &token, epoch).await?;
    Ok(Some(token.reveal().to_owned()))
}

/// Replaces the card; once more if the proof was out of date.
pub(super) async fn update_card(
    app: Arc<App>,
    call: Call,
    request: pb::UpdateAgentCardRequest,
) -> Result<pb::UpdateAgentCardResponse, Error> {
    let first = try_update_card(Arc::clone(&app), call.clone(), request.clone()).await;
    if call.is_outdated(&first, &request.workspace_id) {
        return try_update_card(app, call, request).await;
    }
    first
}

/// contract/registry.md.
async fn try_update_card(
    app: Arc<App>,
    call: Call,
    request: pb::UpdateAgentCardRequest,
) -> Result<pb::UpdateAgentCardResponse, Error> {
    let id = wire::workspace_id("workspace_id", &request.workspace_id)?;
    let caller = call.agent(Who::UpdateCard, id).await?;
    checks::json("agent_card", &request.agent_card)?;
    let updated = pb::UpdateAgentCardResponse {
        status: "updated".to_owned(),
    };
    let mut tx = app.store.begin().await?;
    state::lock(&mut tx, &[id.as_uuid()]).await?;
    let Some(before) = state::load(&mut tx, id).await? else {
        return Err(checks::not_found());
    };
    if before.state.status == Status::Removed {
        return Err(removed());
    }
    if caller.auth_version != before.auth_version {
        return Err(Error::new(
            Reason::CredentialChanged,
            "invalid workspace auth token",
        ));
    }
    if before.state.is_stale(&caller) {
        return Ok(updated);
    }
    workspaces::set_card(&mut tx, id, &request.agent_card).await?;
    let payload = format!(r#"{{"agent_card":{}}}"#, request.agent_card);
    let cause = Cause {
        traceparent: call.traceparent,
        evidence: String::new(),
    };
    decisions::insert_event(&mut tx, id, "AGENT_CARD_UPDATED", &payload, &cause).await?;
    Store::commit(tx).await?;
    app.events_written.notify_one();
    Ok(updated)
}
