//! Volumes: made with this installation's mark, used where nobody else has a claim, and
//! taken away only where the mark is ours.

use std::collections::HashMap;

use bollard::models::{Volume, VolumeCreateRequest};
use bollard::query_parameters::{ListVolumesOptionsBuilder, RemoveVolumeOptions};
use candor_kernel::WorkspaceId;

use super::engine::{Engine, LOOK, MAKE};
use super::names::{Mark, Owner};
use crate::backend::BackendError;

/// Makes a volume unless it is there. One without a mark is the legacy platform's, whose
/// workspaces keep their files.
///
/// # Errors
/// [`BackendError::Refused`] if it belongs to somebody else.
pub(super) async fn ensure(
    engine: &Engine,
    mark: &Mark,
    workspace: WorkspaceId,
    name: &str,
) -> Result<(), BackendError> {
    let request = VolumeCreateRequest {
        name: Some(name.to_owned()),
        labels: Some(mark.labels(workspace)),
        ..VolumeCreateRequest::default()
    };
    // For a name that exists the engine answers with what is there.
    let volume = engine
        .call(
            MAKE,
            |docker| async move { docker.create_volume(request).await },
        )
        .await
        .map_err(|failure| failure.unavailable(&format!("making volume {name}")))?;
    match mark.owner(Some(&volume.labels)) {
        Owner::Ours(owner) if owner == workspace => Ok(()),
        Owner::Unmarked => Ok(()),
        Owner::Ours(owner) => Err(BackendError::Refused(format!(
            "volume {name} belongs to workspace {owner}, whose id begins like {workspace}; delete one of the two workspaces"
        ))),
        Owner::Foreign => Err(BackendError::Refused(format!(
            "volume {name} belongs to another installation on this engine; give one of the two an engine of its own"
        ))),
    }
}

/// Takes a volume away if it is this workspace's of this installation.
///
/// # Errors
/// [`BackendError::Unavailable`].
pub(super) async fn remove(
    engine: &Engine,
    mark: &Mark,
    workspace: WorkspaceId,
    name: &str,
) -> Result<(), BackendError> {
    let looked = engine
        .call(
            LOOK,
            |docker| async move { docker.inspect_volume(name).await },
        )
        .await;
    let volume = match looked {
        Ok(volume) => volume,
        Err(failure) if failure.is_not_found() => return Ok(()),
        Err(failure) => return Err(failure.unavailable(&format!("looking for volume {name}"))),
    };
    if mark.owner(Some(&volume.labels)) != Owner::Ours(workspace) {
        tracing::warn!(
            volume = name, %workspace,
            "the volume does not carry this installation's mark and is left alone; docker volume rm removes it"
        );
        return Ok(());
    }
    let removed = engine
        .call(MAKE, |docker| async move {
            docker
                .remove_volume(name, None::<RemoveVolumeOptions>)
                .await
        })
        .await;
    match removed {
        Err(failure) if !failure.is_not_found() => {
            Err(failure.unavailable(&format!("removing volume {name}")))
        }
        _ => Ok(()),
    }
}

/// The workspaces that have a volume of this installation.
///
/// # Errors
/// [`BackendError::Unavailable`].
pub(super) async fn owners(engine: &Engine, mark: &Mark) -> Result<Vec<WorkspaceId>, BackendError> {
    let filters = HashMap::from([("label", mark.everything())]);
    let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
    let found = engine
        .call(LOOK, |docker| async move {
            docker.list_volumes(Some(options)).await
        })
        .await
        .map_err(|failure| failure.unavailable("listing volumes"))?;
    let volumes: Vec<Volume> = found.volumes.unwrap_or_default();
    Ok(volumes
        .iter()
        .filter_map(|volume| match mark.owner(Some(&volume.labels)) {
            Owner::Ours(workspace) => Some(workspace),
            _ => None,
        })
        .collect())
}
