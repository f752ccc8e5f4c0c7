//! Rings when the registry's events say that something may be due.

use std::sync::Arc;
use std::time::Duration;

use candor_kernel::{Error, WorkspaceId};
use candor_proto::registry::v1 as pb;

use crate::app::App;
use crate::service::provisioner;
use crate::store::instances;

/// Pause before a lost subscription is renewed. What is missed meanwhile is found by the
/// next look.
const RETRY: Duration = Duration::from_millis(500);

/// Until stopped.
pub(crate) async fn run(app: Arc<App>) {
    let forever = async {
        loop {
            if let Err(error) = follow(&app).await {
                tracing::debug!(internal = error.internal_text(), "events: {error}");
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    app.stop.run_until_cancelled(forever).await;
}

async fn follow(app: &App) -> Result<(), Error> {
    let request = pb::WatchEventsRequest {
        since_seq: None,
        workspace_id: None,
        include_transient: false,
    };
    let mut events = app
        .services
        .registry
        .call(&provisioner(), request, |mut c, r| async move {
            c.watch_events(r).await
        })
        .await?;
    loop {
        match events.message().await {
            Ok(Some(event)) => heard(app, &event).await?,
            Ok(None) => return Ok(()),
            Err(status) => return Err(candor_process::grpc::from_status(&status)),
        }
    }
}

async fn heard(app: &App, event: &pb::Event) -> Result<(), Error> {
    match event.event_type.as_str() {
        "WORKSPACE_PROVISIONING" | "WORKSPACE_PAUSED" | "WORKSPACE_REMOVED" => {
            app.due.notify_one();
        }
        // A new instance has called; one is wedged, or well again.
        "WORKSPACE_ONLINE" | "WORKSPACE_DEGRADED" => {
            let id: WorkspaceId = event.workspace_id.parse().map_err(Error::internal)?;
            let mut connection = app.store.connection().await?;
            instances::heard(
                &mut connection,
                id.as_uuid(),
                event.event_type == "WORKSPACE_DEGRADED",
            )
            .await?;
            app.due.notify_one();
        }
        _ => {}
    }
    Ok(())
}
