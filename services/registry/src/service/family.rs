//! Those above and below a workspace.

use std::sync::Arc;

use candor_kernel::Error;
use candor_proto::registry::v1 as pb;

use super::{Call, checks};
use crate::app::App;
use crate::store::family::{self, Relative};
use crate::wire;

/// The workspace, its ancestors, its descendants.
pub(super) async fn get(
    app: Arc<App>,
    call: Call,
    request: pb::GetFamilyRequest,
) -> Result<pb::GetFamilyResponse, Error> {
    call.platform()?;
    let id = wire::workspace_id("id", &request.id)?;
    let mut connection = app.connection().await?;
    let mut above = family::above(&mut connection, id).await?.into_iter();
    let workspace = above.next().ok_or_else(checks::not_found)?;
    let below = family::below(&mut connection, id).await?;
    Ok(pb::GetFamilyResponse {
        workspace: Some(shown(workspace)),
        ancestors: above.map(shown).collect(),
        descendants: below.into_iter().map(shown).collect(),
    })
}

fn shown(one: Relative) -> pb::Relative {
    pb::Relative {
        id: one.id.to_string(),
        name: one.name,
        status: one.status,
        parent_id: one.parent_id.map(|id| id.to_string()).unwrap_or_default(),
        external: one.external,
    }
}
