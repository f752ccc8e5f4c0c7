//! Who may talk to whom, and where they are (contract/registry.md).

use std::sync::Arc;

use axum::http::StatusCode;
use candor_kernel::{Caller, Reason};
use candor_proto::registry::v1 as pb;

use crate::legacy::App;
use crate::legacy::answer::{self, Answer};
use crate::legacy::call::{Call, bad_request};
use crate::legacy::json::encode::{Map, Members as _, array};
use crate::legacy::shapes;

/// GET /registry/discover/:id on behalf of `X-Workspace-ID`.
pub(crate) async fn discover(app: Arc<App>, call: Call) -> Answer {
    let Some(claimed) = call.presented.claimed() else {
        return Err(bad_request("X-Workspace-ID header is required"));
    };
    let caller_id = match call.caller {
        // Its own credential says who it is.
        Caller::Workspace(_) => None,
        _ => Some(claimed.to_owned()),
    };
    let request = pb::DiscoverRequest {
        id: call.id.clone(),
        caller_id,
    };
    let found = app
        .registry
        .call(&call.caller, request, |mut c, r| async move {
            c.discover(r).await
        })
        .await;
    match found {
        Ok(found) => {
            let body = Map::new()
                .string("id", &found.id)
                .string("name", &found.name)
                .string("url", &found.url);
            Ok(answer::ok(body.finish()))
        }
        Err(error) if error.reason() == Reason::NoAddress => {
            let body = Map::new()
                .string("error", error.public())
                .string("status", error.fact("status").unwrap_or_default());
            Ok(answer::json(StatusCode::SERVICE_UNAVAILABLE, body.finish()))
        }
        Err(error) => Err(error),
    }
}

/// GET /registry/:id/peers?q=.
pub(crate) async fn peers(app: Arc<App>, call: Call) -> Answer {
    let request = pb::ListPeersRequest {
        id: call.workspace_id()?.to_string(),
        q: call.query("q").map(std::borrow::Cow::into_owned),
    };
    let listed = app
        .registry
        .call(&call.caller, request, |mut c, r| async move {
            c.list_peers(r).await
        })
        .await?;
    Ok(answer::ok(array(listed.peers.iter().map(peer))))
}

fn peer(peer: &pb::Peer) -> String {
    Map::new()
        .int("active_tasks", peer.active_tasks.into())
        .member("agent_card", |json| {
            shapes::nullable_json(json, peer.agent_card.as_deref());
        })
        .string("id", &peer.id)
        .string("name", &peer.name)
        .nullable_string("parent_id", peer.parent_id.as_deref())
        .nullable_string("role", peer.role.as_deref())
        .string("status", shapes::status(peer.status))
        .int("tier", peer.tier.into())
        .string("url", &peer.url)
        .finish()
}

/// POST /registry/check-access.
pub(crate) async fn check_access(app: Arc<App>, call: Call) -> Answer {
    const MALFORMED: &str = "invalid request body";
    let object = call.object(MALFORMED)?;
    let required = |name| {
        object
            .required_string(name)
            .map_err(|_| bad_request(MALFORMED))
    };
    let request = pb::CheckAccessRequest {
        caller_id: required("caller_id")?,
        target_id: required("target_id")?,
    };
    let checked = app
        .registry
        .call(&call.caller, request, |mut c, r| async move {
            c.check_access(r).await
        })
        .await?;
    Ok(answer::ok(
        Map::new().bool("allowed", checked.allowed).finish(),
    ))
}
