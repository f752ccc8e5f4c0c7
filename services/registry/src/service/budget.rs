//! Limit and spend, US cents.

use std::sync::Arc;

use candor_kernel::Error;
use candor_proto::registry::v1 as pb;

use super::{Call, checks};
use crate::app::App;
use crate::store::workspaces;
use crate::wire;

pub(super) async fn get(
    app: Arc<App>,
    call: Call,
    request: pb::GetBudgetRequest,
) -> Result<pb::Budget, Error> {
    let id = wire::workspace_id("workspace_id", &request.workspace_id)?;
    call.self_or_operator(id)?;
    let mut connection = app.connection().await?;
    let found = workspaces::budget(&mut connection, id).await?;
    found.map(budget).ok_or_else(checks::not_found)
}

pub(super) async fn update(
    app: Arc<App>,
    call: Call,
    request: pb::UpdateBudgetRequest,
) -> Result<pb::Budget, Error> {
    let id = wire::workspace_id("workspace_id", &request.workspace_id)?;
    call.operator()?;
    if request.budget_limit.is_some_and(|limit| limit < 0) {
        return Err(Error::field(
            "budget_limit",
            "budget_limit must be >= 0 (USD cents)",
        ));
    }
    let mut connection = app.connection().await?;
    if !workspaces::set_budget(&mut connection, id, request.budget_limit).await? {
        return Err(checks::not_found());
    }
    let found = workspaces::budget(&mut connection, id).await?;
    found.map(budget).ok_or_else(checks::not_found)
}

fn budget((limit, spend): (Option<i64>, i64)) -> pb::Budget {
    pb::Budget {
        budget_limit: limit,
        monthly_spend: spend,
        budget_remaining: limit.map(|limit| limit.saturating_sub(spend)),
    }
}
