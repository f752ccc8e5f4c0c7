//! Waits for the end of what was removed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use candor_identity::Call;
use candor_kernel::Error;
use candor_proto::provisioner::v1 as pb;
use candor_proto::registry::v1 as registry;
use tokio::time::Instant;
use uuid::Uuid;

use super::{LOOK_EVERY, provisioner, workspace};
use crate::app::App;
use crate::store::removal;

/// Longest wait (contract/workspaces.md, "DELETE": one budget for all).
const WITHIN: Duration = Duration::from_secs(30);
/// Workspaces of one question, at most.
const MOST: usize = 10_000;
/// Placements that the registry tells at once, at most.
const MOST_PLACEMENTS: i32 = 1000;

/// Answers when nothing of them runs any more, or in time with what still may.
pub(super) async fn wait(
    app: Arc<App>,
    call: Call,
    request: pb::AwaitRemovalRequest,
) -> Result<pb::AwaitRemovalResponse, Error> {
    call.operator()?;
    if request.ids.len() > MOST {
        return Err(Error::field("ids", format!("ids: at most {MOST}")));
    }
    let ids = request.ids.iter();
    let mut left = ids
        .map(|id| workspace("ids", id).map(|id| id.as_uuid()))
        .collect::<Result<Vec<Uuid>, Error>>()?;
    app.due.notify_one();
    let late = Instant::now() + WITHIN;
    loop {
        let settled = app.settled.notified();
        left = still_there(&app, left).await?;
        if left.is_empty() || Instant::now() >= late {
            let left = left.iter().map(Uuid::to_string).collect();
            return Ok(pb::AwaitRemovalResponse { left });
        }
        // Whichever comes first: both lead to the next look.
        let _ = tokio::time::timeout(LOOK_EVERY, settled).await;
    }
}

/// Those whose end nobody has taken over yet, or is still at. In this order: who takes one
/// over writes it down before it says so.
async fn still_there(app: &App, ids: Vec<Uuid>) -> Result<Vec<Uuid>, Error> {
    if ids.is_empty() {
        return Ok(ids);
    }
    let request = registry::ListPlacementsRequest {
        limit: MOST_PLACEMENTS,
    };
    let waiting = app
        .services
        .registry
        .call(&provisioner(), request, |mut c, r| async move {
            c.list_placements(r).await
        })
        .await?
        .placements;
    if waiting.len() >= usize::try_from(MOST_PLACEMENTS).unwrap_or(usize::MAX) {
        // It may be among those that were not told.
        return Ok(ids);
    }
    let waiting: HashSet<Uuid> = waiting
        .iter()
        .filter_map(|one| one.workspace_id.parse().ok())
        .collect();
    let mut connection = app.store.connection().await?;
    let kept: HashSet<Uuid> = removal::of(&mut connection, &ids)
        .await?
        .into_iter()
        .collect();
    let is_there = |id: &Uuid| waiting.contains(id) || kept.contains(id);
    Ok(ids.into_iter().filter(is_there).collect())
}
