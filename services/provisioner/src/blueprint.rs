//! A workspace as the registry knows it, asked in one place.

use candor_kernel::{Error, Reason, Status};
use candor_proto::registry::v1::{Blueprint, GetBlueprintRequest};

use crate::app::App;
use crate::service::provisioner;

/// What an instance is made of, and how the workspace is; removed ones included.
///
/// # Errors
/// `WORKSPACE_NOT_FOUND` for one that never was or was purged; the registry's.
pub(crate) async fn blueprint(app: &App, id: impl ToString) -> Result<Blueprint, Error> {
    let request = GetBlueprintRequest {
        workspace_id: id.to_string(),
    };
    app.services
        .registry
        .call(&provisioner(), request, |mut c, r| async move {
            c.get_blueprint(r).await
        })
        .await
}

/// The same where there may be none.
///
/// # Errors
/// The registry's.
pub(crate) async fn known(app: &App, id: impl ToString) -> Result<Option<Blueprint>, Error> {
    match blueprint(app, id).await {
        Ok(blueprint) => Ok(Some(blueprint)),
        Err(error) if error.reason() == Reason::WorkspaceNotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a status that came as its label is this one.
pub(crate) fn is(label: &str, status: Status) -> bool {
    label == status.label()
}
