//! Tells the registry what can be run here: it places workspaces by that.

use std::sync::Arc;
use std::time::Duration;

use candor_kernel::Error;
use candor_peers::time;
use candor_proto::registry::v1 as registry;
use tokio::sync::watch;

use crate::app::App;
use crate::service::provisioner;

/// From one announcement to the next.
const EVERY: Duration = Duration::from_secs(15);
/// From one that did not arrive to the next.
const AGAIN: Duration = Duration::from_secs(1);
/// How long each holds.
const HOLDS: Duration = Duration::from_secs(60);

/// Announces until the process ends. Nothing is taken back then: another provisioner of
/// the same name goes on, and without one the last word ends by itself.
pub async fn announce(app: Arc<App>, told: watch::Sender<bool>) {
    loop {
        let pause = match once(&app).await {
            Ok(()) => {
                told.send_replace(true);
                EVERY
            }
            Err(error) => {
                tracing::warn!(
                    error = error.for_operators(),
                    "the registry was not told what runs here"
                );
                AGAIN
            }
        };
        tokio::select! {
            () = app.stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn once(app: &App) -> Result<(), Error> {
    let backends = app.backends.homes().map(|home| registry::AnnouncedBackend {
        name: home.backend().name().to_owned(),
        runtimes: home.runtimes(),
    });
    let request = registry::AnnounceBackendsRequest {
        backends: backends.collect(),
        ttl: Some(time::duration(HOLDS)),
    };
    app.services
        .registry
        .call(&provisioner(), request, |mut client, request| async move {
            client.announce_backends(request).await
        })
        .await?;
    Ok(())
}
