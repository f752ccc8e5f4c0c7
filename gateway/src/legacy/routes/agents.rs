//! Register and update-card: what an agent says about itself
//! (contract/registry.md).

use std::future::Future;
use std::sync::Arc;

use axum::response::Response;
use candor_identity::Who;
use candor_identity::call::MOST_LOOKS;
use candor_kernel::{Caller, Error, Reason, WorkspaceId};
use candor_proto::registry::v1 as pb;

use crate::legacy::App;
use crate::legacy::answer::{self, Answer};
use crate::legacy::call::{Call, bad_request};
use crate::legacy::json::bind::Object;
use crate::legacy::json::encode::{Map, Members as _};
use crate::legacy::refusals::refuse;

const MALFORMED: &str = "invalid request body";

/// POST /registry/register.
pub(crate) async fn register(app: Arc<App>, call: Call) -> Answer {
    let object = call.object(MALFORMED)?;
    let (id, text) = subject(&object, "id")?;
    let optional = |name| object.string(name).map_err(|_| bad_request(MALFORMED));
    let request = pb::RegisterRequest {
        id: text,
        url: optional("url")?,
        agent_card: card(&object)?,
        delivery_mode: optional("delivery_mode")?,
    };
    let registered = as_agent(&app, &call, Who::Register, id, |caller| {
        let (app, request) = (Arc::clone(&app), request.clone());
        async move {
            app.registry
                .call(
                    &caller,
                    request,
                    |mut c, r| async move { c.register(r).await },
                )
                .await
        }
    })
    .await;
    let registered = match registered {
        Ok(registered) => registered,
        Err(Failed::Refused(response)) => return Ok(response),
        // The original names no reason here, and clients compare (recorded).
        Err(Failed::Error(error)) if error.reason() == Reason::InvalidUrl => {
            return Err(bad_request(MALFORMED));
        }
        Err(Failed::Error(error)) => return Err(error),
    };
    let mut body = Map::new().string("status", &registered.status);
    if let Some(token) = &registered.auth_token {
        body = body.string("auth_token", token);
    }
    if registered.superseded {
        body = body.bool("superseded", true).int("epoch", registered.epoch);
    }
    Ok(answer::ok(body.finish()))
}

/// POST /registry/update-card.
pub(crate) async fn update_card(app: Arc<App>, call: Call) -> Answer {
    let object = call.object(MALFORMED)?;
    let (id, workspace_id) = subject(&object, "workspace_id")?;
    let request = pb::UpdateAgentCardRequest {
        workspace_id,
        agent_card: card(&object)?,
    };
    let updated = as_agent(&app, &call, Who::UpdateCard, id, |caller| {
        let (app, request) = (Arc::clone(&app), request.clone());
        async move {
            app.registry
                .call(&caller, request, |mut c, r| async move {
                    c.update_agent_card(r).await
                })
                .await
        }
    })
    .await;
    match updated {
        Ok(updated) => Ok(answer::status(&updated.status)),
        Err(Failed::Refused(response)) => Ok(response),
        Err(Failed::Error(error)) => Err(error),
    }
}

/// The workspace that the body names.
fn subject(object: &Object, name: &'static str) -> Result<(WorkspaceId, String), Error> {
    let text = object
        .required_string(name)
        .map_err(|_| bad_request(MALFORMED))?;
    let id: WorkspaceId = text
        .parse()
        .map_err(|_| bad_request(format!("{name} must be a UUID")))?;
    Ok((id, id.to_string()))
}

/// The card: it must be there, and may be `null`.
fn card(object: &Object) -> Result<String, Error> {
    object
        .raw("agent_card")
        .map(str::to_owned)
        .ok_or_else(|| bad_request(MALFORMED))
}

/// Why a call of an agent has no result.
enum Failed {
    /// Who calls is not clear; the answer for it.
    Refused(Response),
    /// The call failed.
    Error(Error),
}

/// Authenticates by the body and calls; again if the credentials changed in between.
async fn as_agent<T, F>(
    app: &App,
    call: &Call,
    who: Who,
    id: WorkspaceId,
    work: impl Fn(Caller) -> F,
) -> Result<T, Failed>
where
    F: Future<Output = Result<T, Error>>,
{
    let authenticate = || async {
        app.identity
            .authenticate(call.mode, &call.presented, who, Some(id))
            .await
            .map_err(|refusal| Failed::Refused(refuse(who, refusal)))
    };
    let mut settled = work(authenticate().await?).await;
    for _ in 1..MOST_LOOKS {
        match &settled {
            Err(error) if error.reason() == Reason::CredentialChanged => {
                app.identity.forget(&call.presented, id);
                settled = work(authenticate().await?).await;
            }
            _ => break,
        }
    }
    settled.map_err(Failed::Error)
}
