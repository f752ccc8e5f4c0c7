//! A text among what a workspace said and remembers.

use std::sync::Arc;

use candor_identity::Call;
use candor_kernel::Error;
use candor_kernel::text::storable;
use candor_process::grpc::PAGE_LIMIT;
use candor_proto::activity::v1 as pb;
use futures::StreamExt as _;
use prost::Message as _;

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
    let workspace_id = workspace.to_string();
    let mut connection = app.store.connection().await?;
    let rows = search::search(&mut connection, workspace, pattern, limit.into());
    let mut rows = std::pin::pin!(rows);
    let (mut found, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next().await {
        let row = wire::found(row?, &workspace_id);
        bytes += row.encoded_len();
        if bytes > PAGE_LIMIT && !found.is_empty() {
            return Ok(pb::SearchSessionResponse {
                found,
                truncated: true,
            });
        }
        found.push(row);
    }
    Ok(pb::SearchSessionResponse {
        found,
        truncated: false,
    })
}
