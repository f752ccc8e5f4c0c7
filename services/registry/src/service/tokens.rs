//! Credentials: mint, list, revoke, and what a hash proves.

use std::sync::Arc;

use candor_identity::{Rejection, scoped};
use candor_kernel::token::TokenHash;
use candor_kernel::{Error, Reason, Status, TokenId};
use candor_proto::registry::v1 as pb;
use chrono::Utc;

use super::registration::mint;
use super::{Call, checks};
use crate::app::App;
use crate::store::{Store, instance_tokens, state, tokens};
use crate::wire;

pub(super) async fn issue(
    app: Arc<App>,
    call: Call,
    request: pb::IssueTokenRequest,
) -> Result<pb::IssueTokenResponse, Error> {
    let id = wire::workspace_id("workspace_id", &request.workspace_id)?;
    call.self_or_operator(id)?;
    let mut tx = app.store.begin().await?;
    // The lock makes the count below hold until the commit.
    state::lock(&mut tx, &[id.as_uuid()]).await?;
    let loaded = state::load(&mut tx, id)
        .await?
        .ok_or_else(checks::not_found)?;
    if loaded.state.status == Status::Removed {
        return Err(checks::not_found());
    }
    if request.test {
        call.operator()?;
    } else if tokens::count_live(&mut tx, id).await? >= tokens::MOST_LIVE_TOKENS {
        return Err(Error::new(
            Reason::TooManyTokens,
            "maximum 50 active tokens per workspace",
        ));
    }
    let token = mint();
    tokens::insert(&mut tx, id, &token, None).await?;
    Store::commit(tx).await?;
    app.watermark.credentials_changed();
    Ok(pb::IssueTokenResponse {
        auth_token: token.reveal().to_owned(),
        workspace_id: id.to_string(),
    })
}

pub(super) async fn list(
    app: Arc<App>,
    call: Call,
    request: pb::ListTokensRequest,
) -> Result<pb::ListTokensResponse, Error> {
    let id = wire::workspace_id("workspace_id", &request.workspace_id)?;
    call.self_or_operator(id)?;
    let limit = if (1..=200).contains(&request.limit) {
        i64::from(request.limit)
    } else {
        50
    };
    let offset = i64::from(request.offset.max(0));
    let mut connection = app.connection().await?;
    let tokens: Vec<_> = tokens::list(&mut connection, id, limit, offset)
        .await?
        .into_iter()
        .map(|row| pb::Token {
            id: row.id.to_string(),
            prefix: row.prefix,
            created_at: Some(wire::timestamp(row.created_at)),
            last_used_at: row.last_used_at.map(wire::timestamp),
            kind: row.kind,
            state: row.state,
        })
        .collect();
    Ok(pb::ListTokensResponse {
        count: i32::try_from(tokens.len()).unwrap_or(i32::MAX),
        tokens,
    })
}

pub(super) async fn revoke(
    app: Arc<App>,
    call: Call,
    request: pb::RevokeTokenRequest,
) -> Result<pb::RevokeTokenResponse, Error> {
    let id = wire::workspace_id("workspace_id", &request.workspace_id)?;
    call.self_or_operator(id)?;
    let token: TokenId = request
        .token_id
        .parse()
        .map_err(|_| Error::field("token_id", "token_id must be a UUID"))?;
    let mut connection = app.connection().await?;
    if !tokens::revoke(&mut connection, id, token).await? {
        return Err(Error::new(
            Reason::TokenNotFound,
            "token not found or already revoked",
        ));
    }
    app.watermark.credentials_changed();
    Ok(pb::RevokeTokenResponse {
        status: "revoked".to_owned(),
    })
}

/// Counts what a gateway refused, so that every reader of this registry sees it.
pub(super) async fn report_rejected(
    app: Arc<App>,
    call: Call,
    request: pb::ReportRejectedBeatsRequest,
) -> Result<pb::ReportRejectedBeatsResponse, Error> {
    call.platform()?;
    for beats in &request.rejected {
        let id = wire::workspace_id("workspace_id", &beats.workspace_id)?;
        let last = beats
            .last
            .as_ref()
            .ok_or_else(|| Error::field("last", "last is required"))?;
        let last = wire::time("last", last)?;
        app.rejected.add(
            id,
            Rejection {
                count: beats.count,
                last,
            },
        );
    }
    Ok(pb::ReportRejectedBeatsResponse {})
}

/// What a hash proves, and where a workspace stands: for Candor's own processes.
pub(super) async fn verify(
    app: Arc<App>,
    call: Call,
    request: pb::VerifyTokenRequest,
) -> Result<pb::VerifyTokenResponse, Error> {
    call.platform()?;
    let mut connection = app.connection().await?;
    let mut response = pb::VerifyTokenResponse::default();
    if !request.token_hash.is_empty() {
        let hash: [u8; 32] = request
            .token_hash
            .as_ref()
            .try_into()
            .map_err(|_| Error::field("token_hash", "token_hash must be 32 bytes"))?;
        let hash = TokenHash(hash);
        response.token = instance_tokens::proved(&mut connection, &hash)
            .await?
            .map(token_record);
        if response.token.is_none() {
            response.org_token =
                tokens::org_by_hash(&mut connection, &hash)
                    .await?
                    .map(|(id, prefix)| pb::OrgTokenRecord {
                        id: id.to_string(),
                        prefix,
                    });
        }
    }
    if !request.workspace_id.is_empty() {
        let id = wire::workspace_id("workspace_id", &request.workspace_id)?;
        let standing = tokens::standing(&mut connection, id).await?;
        response.workspace =
            Some(
                standing.map_or_else(pb::WorkspaceAuth::default, |row| pb::WorkspaceAuth {
                    exists: true,
                    removed: row.removed,
                    purged: row.purged,
                    has_live_tokens: row.has_live_tokens,
                    auth_version: row.auth_version,
                    fence_epoch: row.fence_epoch,
                }),
            );
    }
    Ok(response)
}

fn token_record(row: tokens::StoredRow) -> pb::TokenRecord {
    pb::TokenRecord {
        workspace_id: row.workspace_id.to_string(),
        state: if row.revoked_at.is_some() {
            "revoked".to_owned()
        } else {
            row.state
        },
        kind: row.kind,
        epoch: row.epoch,
        fence_epoch: row.fence_epoch,
        auth_version: row.auth_version,
        workspace_removed: row.removed,
        revoked_at: row.revoked_at.map(wire::timestamp),
    }
}

/// The platform's word to an agent (`candor_identity::scoped`).
pub(super) async fn sign_for_agent(
    app: Arc<App>,
    call: Call,
    request: pb::SignForAgentRequest,
) -> Result<pb::SignForAgentResponse, Error> {
    call.platform()?;
    let id = wire::workspace_id("workspace_id", &request.workspace_id)?;
    let hashes = tokens::live_hashes(&mut *app.connection().await?, id).await?;
    let word = scoped::sign(&hashes, &request.purpose, id, Utc::now());
    Ok(pb::SignForAgentResponse {
        word: word.unwrap_or_default(),
    })
}
