//! Takes over what the registry wants.

use candor_kernel::{Error, WorkspaceId};
use candor_proto::registry::v1 as pb;

use crate::app::App;
use crate::service::provisioner;
use crate::store::instances;

/// Placements that are taken at once.
const PAGE: i32 = 200;

/// Writes down everything that is wanted and was not taken over yet. The registry is told
/// afterwards: what is lost on the way is taken once more, which changes nothing.
///
/// # Errors
/// The store's, the registry's.
pub(crate) async fn take(app: &App) -> Result<(), Error> {
    loop {
        let request = pb::ListPlacementsRequest { limit: PAGE };
        let listed = app
            .services
            .registry
            .call(&provisioner(), request, |mut c, r| async move {
                c.list_placements(r).await
            })
            .await?;
        for placement in &listed.placements {
            let id: WorkspaceId = placement.workspace_id.parse().map_err(Error::internal)?;
            let mut connection = app.store.connection().await?;
            instances::adopt(&mut connection, id, placement).await?;
            drop(connection);
            app.config.crash.passed("adopted");
            let taken = pb::TakePlacementRequest {
                workspace_id: placement.workspace_id.clone(),
                version: placement.version,
            };
            app.services
                .registry
                .call(&provisioner(), taken, |mut c, r| async move {
                    c.take_placement(r).await
                })
                .await?;
            app.config.crash.passed("taken");
        }
        if !listed.placements.is_empty() {
            app.due.notify_one();
        }
        if listed.placements.len() < usize::try_from(PAGE).unwrap_or(0) {
            return Ok(());
        }
    }
}
