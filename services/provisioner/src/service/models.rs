//! The model of a workspace: a secret of its own, as the legacy platform keeps it.

use std::sync::Arc;

use candor_identity::Call;
use candor_kernel::{Error, Reason};
use candor_proto::provisioner::v1 as pb;

use super::secrets::{Scope, forget, store};
use super::workspace;
use crate::app::App;
use crate::store::secrets;

/// The secret's name.
const KEY: &str = "MODEL_PROVIDER";

pub(super) async fn get(
    app: Arc<App>,
    call: Call,
    request: pb::GetModelRequest,
) -> Result<pb::GetModelResponse, Error> {
    let id = workspace("workspace_id", &request.workspace_id)?;
    call.self_or_operator(id)?;
    let mut connection = app.store.connection().await?;
    let model = match secrets::one(&mut connection, id, KEY).await? {
        None => String::new(),
        Some(stored) => app
            .sealer
            .open(KEY, &stored.value, stored.version)
            .map_err(|error| {
                Error::new(Reason::SecretUnreadable, "failed to decrypt").with_internal(error)
            })?,
    };
    Ok(pb::GetModelResponse { model })
}

pub(super) async fn set(
    app: Arc<App>,
    call: Call,
    request: pb::SetModelRequest,
) -> Result<pb::SetModelResponse, Error> {
    let id = workspace("workspace_id", &request.workspace_id)?;
    call.self_or_operator(id)?;
    let scope = Scope::Workspace(id);
    if request.model.is_empty() {
        // None is what it may be already.
        forget(&app, &scope, KEY).await?;
    } else {
        store(&app, &scope, KEY, &request.model).await?;
    }
    Ok(pb::SetModelResponse {})
}
