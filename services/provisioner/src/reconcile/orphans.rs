//! Instances of this installation that nobody wants: their workspace was removed, or
//! never was. What carries another installation's mark is not even seen.

use std::collections::HashSet;

use candor_kernel::{Error, Reason, WorkspaceId};
use candor_proto::registry::v1 as pb;
use uuid::Uuid;

use super::sweep::Everything;
use crate::app::App;
use crate::backend::Observed;
use crate::service::provisioner;
use crate::store::instances;

/// Finds them and writes down that they are to go; they then go like any other.
pub(super) async fn sweep(
    app: &App,
    everything: &Everything,
    known: &HashSet<Uuid>,
) -> Result<(), Error> {
    for (backend, found) in everything {
        for one in found {
            let id = one.workspace;
            // What is left of a removed one without an instance is its work, which stays.
            if one.observed == Observed::NotFound || known.contains(&id.as_uuid()) {
                continue;
            }
            if is_wanted(app, id).await? {
                continue;
            }
            tracing::warn!(workspace = %id, backend, "an instance runs that nobody wants: it is ended");
            metrics::counter!("candor_provisioner_orphans_total").increment(1);
            let mut connection = app.store.connection().await?;
            instances::adopt_orphan(&mut connection, id, backend).await?;
            app.due.notify_one();
        }
    }
    Ok(())
}

/// Whether its workspace lives. While that cannot be known, it is wanted.
async fn is_wanted(app: &App, id: WorkspaceId) -> Result<bool, Error> {
    let request = pb::GetBlueprintRequest {
        workspace_id: id.to_string(),
    };
    let asked = app
        .services
        .registry
        .call(&provisioner(), request, |mut c, r| async move {
            c.get_blueprint(r).await
        })
        .await;
    match asked {
        Ok(blueprint) => Ok(blueprint.status != "removed"),
        Err(error) if error.reason() == Reason::WorkspaceNotFound => Ok(false),
        Err(error) => Err(error),
    }
}
