//! The token of an instance that is about to be started (design section 4).

use std::sync::Arc;

use candor_kernel::{Error, Reason};
use candor_proto::registry::v1 as pb;

use super::registration::mint;
use super::{Call, checks};
use crate::app::App;
use crate::store::{Store, instance_tokens};
use crate::wire;

/// Mints one. Its text is told once, to whoever writes it where the instance will read
/// it; it proves nothing new until the instance uses it.
pub(super) async fn issue(
    app: Arc<App>,
    call: Call,
    request: pb::IssueInstanceTokenRequest,
) -> Result<pb::IssueInstanceTokenResponse, Error> {
    call.platform()?;
    let id = wire::workspace_id("workspace_id", &request.workspace_id)?;
    let token = mint();
    let mut tx = app.store.begin().await?;
    let fence = instance_tokens::fence(&mut tx, id).await?;
    let fence = fence.ok_or_else(checks::not_found)?;
    if fence != request.epoch {
        let words = format!("the fence is {fence}, not {}", request.epoch);
        return Err(Error::new(Reason::TransitionRefused, words));
    }
    instance_tokens::replace_pending(&mut tx, id, &token, request.epoch).await?;
    Store::commit(tx).await?;
    app.watermark.credentials_changed();
    Ok(pb::IssueInstanceTokenResponse {
        auth_token: token.reveal().to_owned(),
    })
}

/// Ends one that was never used.
pub(super) async fn withdraw(
    app: Arc<App>,
    call: Call,
    request: pb::WithdrawInstanceTokenRequest,
) -> Result<pb::WithdrawInstanceTokenResponse, Error> {
    call.platform()?;
    let id = wire::workspace_id("workspace_id", &request.workspace_id)?;
    let mut tx = app.store.begin().await?;
    // In the order of everybody else: the workspace before its tokens.
    instance_tokens::fence(&mut tx, id).await?;
    let withdrawn = instance_tokens::withdraw(&mut tx, id, request.epoch).await?;
    Store::commit(tx).await?;
    app.watermark.credentials_changed();
    Ok(pb::WithdrawInstanceTokenResponse { withdrawn })
}
