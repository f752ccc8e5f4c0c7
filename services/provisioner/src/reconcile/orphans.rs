//! Instances of this installation that nobody wants: their workspace was removed, or
//! never was. What carries another installation's mark is not even seen.

use std::collections::HashSet;

use candor_kernel::{Error, Status, WorkspaceId};
use uuid::Uuid;

use super::sweep::Everything;
use crate::app::App;
use crate::backend::Observed;
use crate::blueprint::{is, known};
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
    let known = known(app, id).await?;
    Ok(known.is_some_and(|blueprint| !is(&blueprint.status, Status::Removed)))
}
