//! The configuration document of a workspace (contract/neighbours.md, "Config blob").

use std::sync::Arc;

use candor_identity::Call;
use candor_kernel::{Error, json};
use candor_proto::provisioner::v1 as pb;

use super::{no_workspace, workspace};
use crate::app::App;
use crate::store::{Store, configs, secrets};

/// Bytes of what is merged in.
const MOST_PATCH: usize = 262_144;
/// Bytes of a whole document.
const MOST_DOCUMENT: i32 = 1024 * 1024;

pub(super) async fn get(
    app: Arc<App>,
    call: Call,
    request: pb::GetConfigRequest,
) -> Result<pb::GetConfigResponse, Error> {
    let id = workspace("workspace_id", &request.workspace_id)?;
    call.self_or_operator(id)?;
    let mut connection = app.store.connection().await?;
    let stored = configs::get(&mut connection, id).await?;
    Ok(pb::GetConfigResponse {
        data: stored.unwrap_or_else(|| "{}".to_owned()),
    })
}

pub(super) async fn merge(
    app: Arc<App>,
    call: Call,
    request: pb::MergeConfigRequest,
) -> Result<pb::MergeConfigResponse, Error> {
    let id = workspace("workspace_id", &request.workspace_id)?;
    call.self_or_operator(id)?;
    if request.data.len() > MOST_PATCH {
        let problem = format!("data is longer than {MOST_PATCH} bytes");
        return Err(Error::field("data", problem));
    }
    json::is_json("data", &request.data).map_err(|_| Error::field("data", "invalid JSON"))?;
    json::storable("data", &request.data)?;
    let mut tx = app.store.begin().await?;
    if !secrets::hold_workspace(&mut tx, id).await? {
        return Err(no_workspace());
    }
    if configs::merge(&mut tx, id, &request.data).await? > MOST_DOCUMENT {
        let problem = format!("the document would be longer than {MOST_DOCUMENT} bytes");
        return Err(Error::field("data", problem));
    }
    Store::commit(tx).await?;
    Ok(pb::MergeConfigResponse {})
}
