//! Removes workspaces with their descendants (rule R17), in one transaction.

use std::sync::Arc;

use candor_kernel::{Error, Occurrence, Outcome, WorkspaceId, decide};
use candor_proto::registry::v1 as pb;

use super::{Call, checks};
use crate::app::App;
use crate::store::decisions::{self, Cause};
use crate::store::placements::{self, Ending};
use crate::store::{Store, Tx, remove, state, update};
use crate::wire;

pub(super) async fn delete(
    app: Arc<App>,
    call: Call,
    request: pb::DeleteWorkspaceRequest,
) -> Result<pb::DeleteWorkspaceResponse, Error> {
    call.operator()?;
    let id = wire::workspace_id("id", &request.id)?;
    let mut tx = app.store.begin().await?;
    // No child may appear, or move, between the look and the removal.
    update::lock_hierarchy(&mut tx).await?;
    if state::load(&mut tx, id).await?.is_none() {
        return purged_before(&mut tx, id, &request).await;
    }
    let children = remove::children(&mut tx, id).await?;
    if !children.is_empty() && !request.confirm {
        let children = children
            .into_iter()
            .map(|(id, name)| pb::ChildRef {
                id: id.to_string(),
                name,
            })
            .collect();
        return Ok(pb::DeleteWorkspaceResponse {
            status: "confirmation_required".to_owned(),
            cascade_deleted: 0,
            children,
            removed_ids: Vec::new(),
        });
    }
    let mut ids = remove::descendants(&mut tx, id).await?;
    let below = u32::try_from(ids.len()).unwrap_or(u32::MAX);
    ids.push(id.as_uuid());
    let cause = Cause {
        traceparent: call.traceparent,
        evidence: "deleted".to_owned(),
    };
    mark(&mut tx, id, &ids, below, &cause).await?;
    remove::end_belongings(&mut tx, &ids).await?;
    let ending = if request.purge {
        Ending::Purged
    } else {
        Ending::Gone
    };
    placements::end(&mut tx, &ids, ending).await?;
    let ended = placements::ended_below(&mut tx, id).await?;
    if request.purge {
        remove::purge(&mut tx, &ids).await?;
    }
    Store::commit(tx).await?;
    app.watermark.credentials_changed();
    app.events_written.notify_one();
    Ok(pb::DeleteWorkspaceResponse {
        status: if request.purge { "purged" } else { "removed" }.to_owned(),
        cascade_deleted: i32::try_from(below).unwrap_or(i32::MAX),
        children: Vec::new(),
        removed_ids: ended.iter().map(uuid::Uuid::to_string).collect(),
    })
}

/// Its rows are gone; whether its instance is, whoever deleted it may still ask.
async fn purged_before(
    tx: &mut Tx,
    id: WorkspaceId,
    request: &pb::DeleteWorkspaceRequest,
) -> Result<pb::DeleteWorkspaceResponse, Error> {
    if !request.purge || !placements::is_purged(tx, id).await? {
        return Err(checks::not_found());
    }
    Ok(pb::DeleteWorkspaceResponse {
        status: "purged".to_owned(),
        cascade_deleted: 0,
        children: Vec::new(),
        removed_ids: vec![id.to_string()],
    })
}

/// Decides and writes the removal of every row; those already removed stay.
async fn mark(
    tx: &mut Tx,
    root: WorkspaceId,
    ids: &[uuid::Uuid],
    below: u32,
    cause: &Cause,
) -> Result<(), Error> {
    state::lock(tx, ids).await?;
    for loaded in state::load_many(tx, ids).await? {
        let cascade = (loaded.id == root).then_some(below);
        let decision = decide(
            &loaded.state,
            &Occurrence::Removed { cascade },
            chrono::Utc::now(),
        );
        match &decision.outcome {
            Outcome::Applied => {
                if !decisions::persist(tx, &loaded, &decision, cause).await? {
                    return Err(Error::internal("a locked workspace changed"));
                }
            }
            Outcome::Removed | Outcome::Stale => {}
            Outcome::Refused(error) => return Err(error.clone()),
        }
    }
    Ok(())
}
