//! Tokens that a workspace used.

use std::sync::Arc;

use candor_identity::Call;
use candor_kernel::{Error, Reason};
use candor_peers::time::timestamp;
use candor_proto::relay::v1 as pb;

use super::workspace;
use crate::app::App;
use crate::store::usage;

pub(super) async fn get(
    app: Arc<App>,
    call: Call,
    request: pb::GetUsageRequest,
) -> Result<pb::Usage, Error> {
    let id = workspace(&request.workspace_id)?;
    call.self_or_operator(id)?;
    let mut connection = app.store.connection().await?;
    let today = usage::today(&mut connection, id).await?;
    let today =
        today.ok_or_else(|| Error::new(Reason::WorkspaceNotFound, "workspace not found"))?;
    Ok(pb::Usage {
        input_tokens: today.input_tokens,
        output_tokens: today.output_tokens,
        total_calls: today.calls,
        estimated_cost_usd: today.cost_usd,
        period_start: Some(timestamp(today.period_start)),
        period_end: Some(timestamp(today.period_end)),
    })
}
