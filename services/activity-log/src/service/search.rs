//! A text among what a workspace said and remembers.

use std::sync::Arc;

use candor_identity::Call;
use candor_kernel::Error;
use candor_kernel::text::storable;
use candor_process::grpc::PAGE_LIMIT;
use candor_proto::activity::v1 as pb;

use super::checks;
use crate::activity_log::App;
use crate::store::search;
use crate::wire;

/// Finds shown when the caller names no number, and at most.
const USUAL: i32 = 50;
const MOST: i32 = 200;

pub(super) async fn search(
    app: Arc<App>,
    call: Call,
    request: pb::SearchSessionRequest,
) -> Result<pb::SearchSessionResponse, Error> {
    let workspace = checks::workspace("workspace_id", &request.workspace_id)?;
    call.self_or_operator(workspace)?;
    storable("q", &request.q)?;
    let limit = match request.limit {
        limit if limit <= 0 => USUAL,
        limit => limit.min(MOST),
    };
    let pattern = format!("%{}%", request.q.trim());
    let bytes = i64::try_from(PAGE_LIMIT).unwrap_or(i64::MAX);
    let mut connection = app.store.connection().await?;
    let (rows, truncated) =
        search::search(&mut connection, workspace, &pattern, limit.into(), bytes).await?;
    let workspace_id = workspace.to_string();
    let found = rows.into_iter().map(|row| wire::found(row, &workspace_id));
    Ok(pb::SearchSessionResponse {
        found: found.collect(),
        truncated,
    })
}
