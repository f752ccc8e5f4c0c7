//! A Pod is made, and waited for until it runs.

use candor_kernel::Epoch;
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use tokio::time::{Instant, sleep};

use super::super::{BackendError, Observed, Plan, Progress};
use super::Kubernetes;
use super::api::Failure;
use super::names::epoch_of;
use super::objects::{self, Made};
use super::seen::{self, Stage};

/// What a registry says when trying again will not help.
const NOT_TO_BE_HAD: [&str; 6] = [
    "not found",
    "manifest unknown",
    "unauthorized",
    "denied",
    "no match for platform",
    "does not exist",
];

/// What is remembered while a Pod is waited for.
#[derive(Debug, Default)]
struct Wait {
    /// This call made the Pod.
    made_it: bool,
    /// What was told last.
    told: String,
    /// Why the image was not pulled, as far as it was said.
    pulling: Option<String>,
}

impl Kubernetes {
    pub(super) async fn start_and_wait(
        &self,
        plan: &Plan,
        progress: &dyn Progress,
    ) -> Result<Observed, BackendError> {
        let made = Made::of(&self.settings, plan);
        let wanted = objects::pod(&made)?;
        self.must_be_written(&made).await?;
        self.steer(&made).await?;
        let deadline = Instant::now() + self.settings.start_deadline;
        let mut wait = Wait::default();
        loop {
            if let Some(observed) = self.look(&made, &wanted, &mut wait, progress).await? {
                if matches!(observed, Observed::Running { .. }) {
                    self.forget_older(&made).await;
                }
                return Ok(observed);
            }
            if Instant::now() >= deadline {
                return Err(self.too_late(&wait));
            }
            sleep(self.settings.poll).await;
        }
    }

    /// One look at the Pod, and the next step; what is seen once there is no more to wait for.
    async fn look(
        &self,
        made: &Made<'_>,
        wanted: &Pod,
        wait: &mut Wait,
        progress: &dyn Progress,
    ) -> Result<Option<Observed>, BackendError> {
        let name = made.names.instance(made.plan.epoch);
        let Some(pod) = self.cluster.get::<Pod>(&name).await? else {
            return self.make(wanted, wait, progress).await.map(|()| None);
        };
        self.must_own(&made.names, &pod)?;
        let is_going = pod.metadata.deletion_timestamp.is_some();
        match seen::stage(&pod) {
            _ if is_going => tell(wait, progress, "the pod of an earlier attempt is going"),
            Stage::Running => return Ok(seen::observed(&made.names, &pod).ok()),
            // What ended before this call is in the way of what is to start.
            Stage::Ended(_) if !wait.made_it => {
                tell(wait, progress, "the pod of an earlier attempt ended");
                self.cluster.delete::<Pod>(&pod.metadata, None).await?;
            }
            Stage::Ended(why) => {
                let epoch = epoch_of(&pod.metadata);
                return Ok(Some(Observed::Exited { epoch, why }));
            }
            Stage::Pulling(why) => {
                tell(wait, progress, &why);
                if NOT_TO_BE_HAD.iter().any(|said| why.contains(said)) {
                    return Err(image_is_missing(made, &why));
                }
                wait.pulling = Some(why);
            }
            Stage::Coming(why) | Stage::Unknown(why) => tell(wait, progress, &why),
        }
        Ok(None)
    }

    async fn make(
        &self,
        wanted: &Pod,
        wait: &mut Wait,
        progress: &dyn Progress,
    ) -> Result<(), BackendError> {
        match self.cluster.create(wanted).await {
            Ok(_) => {
                wait.made_it = true;
                tell(wait, progress, "the pod is made");
                Ok(())
            }
            // Somebody was faster; the next look sees it.
            Err(Failure::Exists) => Ok(()),
            Err(other) => Err(other.into()),
        }
    }

    /// A Pod without its Secret would wait for ever.
    async fn must_be_written(&self, made: &Made<'_>) -> Result<(), BackendError> {
        let (workspace, epoch) = (made.plan.workspace, made.plan.epoch);
        match self.read_token(workspace, epoch).await? {
            Some(_) => Ok(()),
            None => Err(BackendError::Unavailable(format!(
                "nothing is written for instance {epoch}: it is written first"
            ))),
        }
    }

    /// From now on calls go to this instance alone.
    async fn steer(&self, made: &Made<'_>) -> Result<(), BackendError> {
        let name = made.names.anchor();
        let Some(mut service) = self.cluster.get::<Service>(&name).await? else {
            return Err(BackendError::Unavailable(format!(
                "the Service {name} is gone: it is written first"
            )));
        };
        self.must_own(&made.names, &service)?;
        let wanted = objects::steering(&made.names, made.plan.epoch);
        let spec = service.spec.get_or_insert_default();
        if spec.selector.as_ref() != Some(&wanted) {
            spec.selector = Some(wanted);
            self.cluster.replace(&service).await?;
        }
        Ok(())
    }

    /// Takes older instances' Secrets away. What fails is done with the next start, or
    /// with the workspace.
    async fn forget_older(&self, made: &Made<'_>) {
        let of = |epoch: Epoch| epoch < made.plan.epoch;
        let selector = made.names.selector();
        let outcome = async {
            for secret in self.cluster.list_names::<Secret>(&selector).await? {
                if of(epoch_of(&secret)) {
                    self.cluster.delete::<Secret>(&secret, None).await?;
                }
            }
            Ok::<_, Failure>(())
        };
        if let Err(failure) = outcome.await {
            let workspace = made.plan.workspace;
            tracing::warn!(%workspace, ?failure, "an older instance's Secret is left");
        }
    }

    fn too_late(&self, wait: &Wait) -> BackendError {
        let within = self.settings.start_deadline;
        match &wait.pulling {
            Some(why) => {
                BackendError::Refused(format!("the image was not pulled within {within:?}: {why}"))
            }
            None => BackendError::Unavailable(format!(
                "the instance does not run after {within:?}: {}",
                wait.told
            )),
        }
    }
}

fn image_is_missing(made: &Made<'_>, why: &str) -> BackendError {
    BackendError::Refused(format!(
        "the image of the runtime {:?} cannot be had, push it or name another, or see to the pull secret: {why}",
        made.plan.runtime
    ))
}

/// Says what is new.
fn tell(wait: &mut Wait, progress: &dyn Progress, what: &str) {
    if wait.told != what {
        progress.told(format_args!("{what}"));
        what.clone_into(&mut wait.told);
    }
}
