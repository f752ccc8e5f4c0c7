//! Pods are ended, and what outlives them is taken away.
//!
//! A Pod has ended when the API does not list it any more: its kubelet takes it out
//! once its processes are gone. The kubelet is also who kills at the end of the grace.
//! A Pod whose node is gone stays, and nothing is concluded from that.

use std::collections::BTreeSet;
use std::time::Duration;

use candor_kernel::WorkspaceId;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::time::{Instant, sleep};

use super::super::{BackendError, Remove};
use super::Kubernetes;
use super::api::{Failure, Object};

/// A grace of none at all would take the Pod out of the API without its node's word.
const SHORTEST_GRACE: Duration = Duration::from_secs(1);

impl Kubernetes {
    pub(super) async fn stop_and_wait(
        &self,
        workspace: WorkspaceId,
        grace: Duration,
    ) -> Result<(), BackendError> {
        let names = self.names(workspace);
        let selector = names.selector();
        let grace = grace.max(SHORTEST_GRACE);
        let mut deadline = Instant::now() + grace + self.settings.margin;
        let mut asked: BTreeSet<Option<String>> = BTreeSet::new();
        let mut is_forced = false;
        loop {
            let pods = self.cluster.list::<Pod>(&selector).await;
            let pods = pods.map_err(Failure::unknown)?;
            if pods.is_empty() {
                return Ok(());
            }
            for pod in &pods {
                if asked.insert(pod.metadata.uid.clone()) {
                    self.cluster
                        .delete::<Pod>(&pod.metadata, Some(grace))
                        .await?;
                }
            }
            if Instant::now() >= deadline {
                if is_forced || !self.settings.force_after_grace {
                    return Err(still_there(&pods));
                }
                is_forced = true;
                deadline = Instant::now() + self.settings.margin;
                self.force(&pods).await?;
            }
            sleep(self.settings.poll).await;
        }
    }

    /// Strikes Pods from the API without their nodes' word.
    async fn force(&self, pods: &[Pod]) -> Result<(), BackendError> {
        for pod in pods {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            tracing::warn!(
                pod = name,
                "struck from the API: its processes may still run"
            );
            self.cluster
                .delete::<Pod>(&pod.metadata, Some(Duration::ZERO))
                .await?;
        }
        Ok(())
    }

    /// Takes away what outlives the instances; the Service last, so that what is left
    /// after a crash is found by it.
    pub(super) async fn remove_all(
        &self,
        workspace: WorkspaceId,
        what: Remove,
    ) -> Result<(), BackendError> {
        let names = self.names(workspace);
        let selector = names.selector();
        self.take_away::<Secret>(&selector, |_| true).await?;
        self.take_away::<NetworkPolicy>(&selector, |_| true).await?;
        let configs = names.configs();
        self.take_away::<PersistentVolumeClaim>(&selector, |claim| {
            what == Remove::Everything || claim.name.as_ref() == Some(&configs)
        })
        .await?;
        self.take_away::<Service>(&selector, |_| true).await
    }

    /// Deletes and waits until none is listed.
    async fn take_away<K: Object>(
        &self,
        selector: &str,
        is_meant: impl Fn(&ObjectMeta) -> bool,
    ) -> Result<(), BackendError> {
        let deadline = Instant::now() + self.settings.margin;
        let mut asked: BTreeSet<Option<String>> = BTreeSet::new();
        loop {
            let mut left = self.cluster.list_names::<K>(selector).await?;
            left.retain(|object| is_meant(object));
            let Some(first) = left.first() else {
                return Ok(());
            };
            for object in &left {
                if asked.insert(object.uid.clone()) {
                    self.cluster.delete::<K>(object, None).await?;
                }
            }
            if Instant::now() >= deadline {
                return Err(BackendError::Unavailable(format!(
                    "{} {} was asked to go and is still there: something uses it or holds it by a finalizer",
                    K::kind(&()),
                    first.name.as_deref().unwrap_or("?")
                )));
            }
            sleep(self.settings.poll).await;
        }
    }
}

/// Says which Pods do not go, where they are, and what an operator can do.
fn still_there(pods: &[Pod]) -> BackendError {
    let of = |pod: &Pod| {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        (name, node.unwrap_or_else(|| "no node".into()))
    };
    let (name, node) = pods.first().map(of).unwrap_or_default();
    let more = match pods.len() {
        0 | 1 => String::new(),
        several => format!(" (and {} more)", several - 1),
    };
    BackendError::Unavailable(format!(
        "the pod {name} on {node} was asked to end and is still there{more}: its node has not said that it ended, \
         so it may still run. If the node is gone for good, say so: \
         kubectl taint nodes {node} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"
    ))
}
