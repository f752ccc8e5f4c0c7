//! Instances as Pods of a Kubernetes cluster.
//!
//! | object | name | of | goes |
//! |---|---|---|---|
//! | Service | `ws-<id>` | the workspace | with the workspace |
//! | NetworkPolicy | `ws-<id>` | the workspace | with its Service |
//! | PersistentVolumeClaim | `ws-<id>-configs` | the workspace | when its configuration is removed |
//! | PersistentVolumeClaim | `ws-<id>-workspace` | the workspace | when everything is removed |
//! | Secret | `ws-<id>-<epoch>` | one instance | when a newer one runs, or with the Service |
//! | Pod | `ws-<id>-<epoch>` | one instance | when it is stopped |
//!
//! Everything carries the labels `candor/installation` and `candor/workspace`, an
//! instance's also `candor/epoch`; what lacks them is never touched, whatever its name.
//!
//! **The token.** A Secret is written for one epoch and never changed. Before the agent
//! starts, a container of the same image and account lays out its files on the volume of
//! `/configs`, and the token in a folder of the Pod's own memory, mode 0600;
//! `/configs/.auth_token` is a link to it. So an old instance that survives on the same
//! volume goes on reading its own token, and an agent may replace the file. The Service
//! leads to one epoch only. The image needs `/bin/sh`, `cat`, `ln`, `mkdir` and `rm`.
//!
//! **What is seen.** Lists are read as they are now, never from a cache, and only an empty
//! one means that there is no instance. A Pod that is being deleted is there until the API
//! does not list it. A Pod whose node is gone stays for ever and is reported as such; see
//! [`Settings::force_after_grace`].
//!
//! **Who restarts.** The platform: `restartPolicy` is `Never`, and there are no probes. A
//! Pod that an operator or the cluster deletes is not found, as one that crashed.
//!
//! **Other than on Docker.** Tier 1 has limits. Tiers 3 and 4, where they are allowed, are
//! privileged and see their node's processes, tier 4 its network too; neither has a
//! container engine's socket. The temporary folder of tier 1 cannot be mounted `noexec`.
//! The number of processes is limited by the kubelet's `podPidsLimit`, not by a Pod.
//!
//! **What only a real cluster shows**, and no test here: that a kubelet applies `fsGroup`
//! to the volumes of the storage driver in use (without it the agent cannot write to
//! them), that a network plugin enforces the policies and that DNS is the pods
//! `k8s-app=kube-dns` of `kube-system` (a cache on the node's own address needs an entry
//! in [`Settings::reachable`]), admission beyond the schemas (quotas, pod-security levels,
//! webhooks), how long pulling, scheduling and attaching take, that a volume moves to
//! another node, and what becomes of Pods when a node dies.

mod api;
mod ending;
mod names;
mod objects;
mod seen;
mod settings;
mod starting;
mod writing;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use candor_kernel::token::TokenHash;
use candor_kernel::{Epoch, WorkspaceId};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};

pub use settings::{Access, BadSettings, Limits, PlatformPods, Pull, Settings};

use self::api::{Cluster, Failure};
use self::names::{Names, installation_selector, workspace_of};
use super::{Backend, BackendError, Found, Observed, Plan, Progress, Remove};

/// Room in a Secret for the token and the platform's own variables, in bytes.
const ROOM: u64 = 16 * 1024;

/// The backend.
pub struct Kubernetes {
    cluster: Cluster,
    settings: Settings,
}

impl Kubernetes {
    /// On this cluster.
    ///
    /// # Errors
    /// [`BadSettings`] names the setting.
    pub fn new(client: kube::Client, settings: Settings) -> Result<Self, BadSettings> {
        settings.check()?;
        let namespace = settings.namespace.clone();
        let cluster = Cluster::new(client, namespace, settings.call_deadline);
        Ok(Self { cluster, settings })
    }

    /// On the cluster that this process runs in, else the one that `KUBECONFIG` or
    /// `~/.kube/config` names.
    ///
    /// # Errors
    /// [`BadSettings`]: the setting, or why there is no cluster.
    pub async fn connect(settings: Settings) -> Result<Self, BadSettings> {
        let no_cluster = |problem: &dyn std::fmt::Display| {
            BadSettings(format!(
                "no Kubernetes cluster is known: neither a service account nor a kubeconfig ({problem})"
            ))
        };
        let mut config = kube::Config::infer()
            .await
            .map_err(|problem| no_cluster(&problem))?;
        config.connect_timeout = Some(settings.call_deadline);
        config.read_timeout = Some(settings.call_deadline);
        // Who asked asks again, and knows when.
        config.default_retry = false;
        let client = kube::Client::try_from(config).map_err(|problem| no_cluster(&problem))?;
        Self::new(client, settings)
    }

    fn names(&self, workspace: WorkspaceId) -> Names<'_> {
        Names {
            installation: &self.settings.installation,
            namespace: &self.settings.namespace,
            workspace,
        }
    }

    async fn list_all(&self) -> Result<Vec<Found>, Failure> {
        let selector = installation_selector(&self.settings.installation);
        let pods = self.cluster.list::<Pod>(&selector).await?;
        let claims = self
            .cluster
            .list_names::<PersistentVolumeClaim>(&selector)
            .await?;
        let services = self.cluster.list_names::<Service>(&selector).await?;
        // What is left of a workspace is found even where no Pod is.
        let mut found: BTreeMap<WorkspaceId, Vec<&Pod>> = BTreeMap::new();
        for workspace in claims.iter().chain(&services).filter_map(workspace_of) {
            found.entry(workspace).or_default();
        }
        for pod in &pods {
            if let Some(workspace) = workspace_of(&pod.metadata) {
                found.entry(workspace).or_default().push(pod);
            }
        }
        let found = found.into_iter().map(|(workspace, pods)| Found {
            workspace,
            observed: self.in_a_list(workspace, pods),
        });
        Ok(found.collect())
    }

    /// One that cannot be seen is listed as running: it is there, and may run.
    fn in_a_list(&self, workspace: WorkspaceId, pods: Vec<&Pod>) -> Observed {
        let Some(pod) = seen::newest(pods) else {
            return Observed::NotFound;
        };
        let unseen = |_| Observed::Running {
            epoch: names::epoch_of(&pod.metadata),
            url: None,
        };
        seen::observed(&self.names(workspace), pod).unwrap_or_else(unseen)
    }
}

#[async_trait]
impl Backend for Kubernetes {
    fn name(&self) -> &'static str {
        "kubernetes"
    }

    fn claims(&self, runtime: &str) -> bool {
        self.settings.images.contains_key(runtime)
    }

    fn most_given(&self) -> u64 {
        // One Secret, with the token and what is around it.
        u64::try_from(objects::LARGEST).unwrap_or(u64::MAX) - ROOM
    }

    fn runtimes(&self) -> Vec<String> {
        self.settings.images.keys().cloned().collect()
    }

    async fn ready(&self) -> Result<(), BackendError> {
        Ok(self.cluster.can_list::<Pod>().await?)
    }

    async fn observe(&self, workspace: WorkspaceId) -> Result<Observed, BackendError> {
        let names = self.names(workspace);
        let pods = self.cluster.list::<Pod>(&names.selector()).await;
        match seen::newest(&pods.map_err(Failure::unknown)?) {
            Some(pod) => seen::observed(&names, pod).map_err(BackendError::Unavailable),
            None => Ok(Observed::NotFound),
        }
    }

    async fn stop(&self, workspace: WorkspaceId, grace: Duration) -> Result<(), BackendError> {
        self.stop_and_wait(workspace, grace).await
    }

    async fn write(&self, plan: &Plan) -> Result<(), BackendError> {
        self.write_all(plan).await
    }

    async fn written_token(
        &self,
        workspace: WorkspaceId,
        epoch: Epoch,
    ) -> Result<Option<TokenHash>, BackendError> {
        self.read_token(workspace, epoch).await
    }

    async fn start(&self, plan: &Plan, progress: &dyn Progress) -> Result<Observed, BackendError> {
        self.start_and_wait(plan, progress).await
    }

    async fn remove(&self, workspace: WorkspaceId, what: Remove) -> Result<(), BackendError> {
        self.remove_all(workspace, what).await
    }

    async fn list(&self) -> Result<Vec<Found>, BackendError> {
        self.list_all().await.map_err(Failure::unknown)
    }
}
