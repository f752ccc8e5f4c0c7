//! What the provisioner's handlers and tasks share.

use std::sync::Arc;

use candor_secrets::Sealer;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::backend::Backend;
use crate::config::ProvisionerConfig;
use crate::provisioner::Services;
use crate::setup::{BackendHome, Backends};
use crate::store::Store;

pub(crate) struct App {
    /// This process, as the owner of leases.
    pub me: Uuid,
    pub config: ProvisionerConfig,
    pub store: Store,
    pub services: Services,
    pub backends: Backends,
    pub sealer: Sealer,
    /// Something may be due now.
    pub due: Notify,
    /// Something was settled.
    pub settled: Notify,
    pub tasks: TaskTracker,
    pub stop: CancellationToken,
}

impl App {
    /// The backend of this name, if it is configured here.
    pub fn backend(&self, name: &str) -> Option<&Arc<dyn Backend>> {
        self.backends.home(name).map(BackendHome::backend)
    }

    /// Their names.
    pub fn backend_names(&self) -> Vec<String> {
        let names = self
            .backends
            .iter()
            .map(|backend| backend.name().to_owned());
        names.collect()
    }

    /// Where instances of this backend find the platform, if they can.
    pub fn platform_url(&self, name: &str) -> Option<String> {
        let found = self.backends.home(name)?.platform_url();
        found.ok().map(str::to_owned)
    }
}
