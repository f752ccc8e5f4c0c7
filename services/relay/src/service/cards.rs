//! What agents say of themselves.

use std::sync::Arc;

use candor_identity::Call;
use candor_kernel::Error;
use candor_proto::relay::v1 as pb;

use crate::app::App;
use crate::card::{Reader, published};
use crate::target::Target;

pub(super) async fn card(
    app: Arc<App>,
    _: Call,
    request: pb::GetAgentCardRequest,
) -> Result<pb::AgentCard, Error> {
    let id = super::workspace(&request.workspace_id)?;
    let reader = Reader::new(&app, &request.base_url, request.needs_token)?;
    let target = Target::resolve(&app.resolver, id, None).await?;
    let card = published(Some(&target.agent_card), &target, &reader);
    Ok(pb::AgentCard {
        card: card.json,
        etag: card.etag,
    })
}
