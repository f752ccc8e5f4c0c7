//! Workspace tokens (contract/auth.md).

use std::sync::Arc;

use axum::http::StatusCode;
use candor_proto::registry::v1 as pb;

use crate::legacy::App;
use crate::legacy::answer::{self, Answer};
use crate::legacy::call::{Call, bad_request};
use crate::legacy::json::encode::{Map, Members as _, Struct, array};
use crate::legacy::shapes::time;

/// GET /workspaces/:id/tokens?limit=50&offset=0.
pub(crate) async fn list(app: Arc<App>, call: Call) -> Answer {
    let request = pb::ListTokensRequest {
        workspace_id: call.workspace_id()?.to_string(),
        limit: call.number("limit"),
        offset: call.number("offset"),
    };
    let listed = app
        .registry
        .call(&call.caller, request, |mut c, r| async move {
            c.list_tokens(r).await
        })
        .await?;
    let tokens = listed.tokens.iter().map(|token| {
        Struct::new()
            .string("id", &token.id)
            .string("prefix", &token.prefix)
            .member("created_at", |json| time(json, token.created_at.as_ref()))
            .member("last_used_at", |json| {
                time(json, token.last_used_at.as_ref());
            })
            .finish()
    });
    let body = Map::new()
        .int("count", listed.count.into())
        .encoded("tokens", &array(tokens));
    Ok(answer::ok(body.finish()))
}

/// POST /workspaces/:id/tokens.
pub(crate) async fn mint(app: Arc<App>, call: Call) -> Answer {
    let minted = issue(&app, &call, false).await?;
    let body = Map::new()
        .string("auth_token", &minted.auth_token)
        .string(
            "message",
            "Save this token now — it cannot be retrieved again.",
        )
        .string("workspace_id", &minted.workspace_id);
    Ok(answer::json(StatusCode::CREATED, body.finish()))
}

/// GET /admin/workspaces/:id/test-token: a new token each call.
pub(crate) async fn test_token(app: Arc<App>, call: Call) -> Answer {
    let minted = issue(&app, &call, true).await?;
    let body = Map::new()
        .string("auth_token", &minted.auth_token)
        .string("workspace_id", &minted.workspace_id);
    Ok(answer::ok(body.finish()))
}

async fn issue(
    app: &App,
    call: &Call,
    test: bool,
) -> Result<pb::IssueTokenResponse, candor_kernel::Error> {
    let workspace_id = call.workspace_id()?.to_string();
    let request = pb::IssueTokenRequest { workspace_id, test };
    app.registry
        .call(&call.caller, request, |mut c, r| async move {
            c.issue_token(r).await
        })
        .await
}

/// DELETE /workspaces/:id/tokens/:tokenId.
pub(crate) async fn revoke(app: Arc<App>, call: Call) -> Answer {
    if call.item.parse::<candor_kernel::TokenId>().is_err() {
        return Err(bad_request("invalid token ID"));
    }
    let request = pb::RevokeTokenRequest {
        workspace_id: call.workspace_id()?.to_string(),
        token_id: call.item.clone(),
    };
    let done = app
        .registry
        .call(&call.caller, request, |mut c, r| async move {
            c.revoke_token(r).await
        })
        .await?;
    Ok(answer::status(&done.status))
}
