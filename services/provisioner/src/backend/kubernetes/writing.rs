//! What an instance will read is written, and read back.

use candor_kernel::token::TokenHash;
use candor_kernel::{Epoch, WorkspaceId};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::super::{BackendError, Plan};
use super::Kubernetes;
use super::api::{Failure, Object};
use super::names::Names;
use super::objects::{self, Made, TOKEN};

impl Kubernetes {
    /// Makes all that the Pod of the plan needs, and no Pod. The Service still leads to
    /// whichever instance it led to.
    pub(super) async fn write_all(&self, plan: &Plan) -> Result<(), BackendError> {
        let made = Made::of(&self.settings, plan);
        // What cannot become a Pod leaves nothing behind.
        objects::pod(&made)?;
        objects::secret(&made, &ObjectMeta::default())?;

        let anchor = self.ensure(&made.names, objects::service(&made)).await?;
        let wanted = objects::policy(&made, &anchor.metadata);
        let policy = self.ensure(&made.names, wanted.clone()).await?;
        if policy.spec != wanted.spec {
            let newer = NetworkPolicy {
                spec: wanted.spec,
                ..policy
            };
            self.cluster.replace(&newer).await?;
        }
        let mut claims = vec![(made.names.configs(), &self.settings.configs_size)];
        if made.has_work() {
            claims.push((made.names.work(), &self.settings.workspace_size));
        }
        for (name, size) in claims {
            let claim = objects::claim(&made, name, size);
            self.ensure::<PersistentVolumeClaim>(&made.names, claim)
                .await?;
        }
        self.write_secret(&made, &anchor).await
    }

    async fn write_secret(&self, made: &Made<'_>, anchor: &Service) -> Result<(), BackendError> {
        let wanted = objects::secret(made, &anchor.metadata)?;
        let name = made.names.instance(made.plan.epoch);
        // Once for the one that is there, once after it went.
        for _ in 0..2 {
            match self.cluster.create(&wanted).await {
                Err(Failure::Exists) => {}
                done => return Ok(done.map(drop)?),
            }
            let Some(there) = self.cluster.get::<Secret>(&name).await? else {
                continue;
            };
            self.must_own(&made.names, &there)?;
            if there.data == wanted.data && there.metadata.deletion_timestamp.is_none() {
                return Ok(());
            }
            // An earlier attempt of the same number wrote another token. Nothing runs.
            self.cluster.delete::<Secret>(&there.metadata, None).await?;
        }
        Err(BackendError::Unavailable(format!(
            "the Secret {name} is being taken away: it is written when it is gone"
        )))
    }

    /// The object as it is, made if it is not there.
    async fn ensure<K: Object>(&self, names: &Names<'_>, wanted: K) -> Result<K, BackendError> {
        let name = wanted.meta().name.clone().unwrap_or_default();
        if let Some(there) = self.cluster.get::<K>(&name).await? {
            self.must_own(names, &there)?;
            if there.meta().deletion_timestamp.is_some() {
                return Err(BackendError::Unavailable(format!(
                    "{} {name} is being taken away: it is made again when it is gone",
                    K::kind(&())
                )));
            }
            return Ok(there);
        }
        Ok(self.cluster.create(&wanted).await?)
    }

    /// Refuses to touch what is not this workspace's.
    pub(super) fn must_own<K: Object>(
        &self,
        names: &Names<'_>,
        object: &K,
    ) -> Result<(), BackendError> {
        if names.owns(object.meta()) {
            return Ok(());
        }
        Err(BackendError::Refused(format!(
            "{} {} is not of this installation: give it another namespace, or take that away",
            K::kind(&()),
            object.meta().name.as_deref().unwrap_or("?")
        )))
    }

    /// The token in the Secret that the Pod of this epoch mounts.
    pub(super) async fn read_token(
        &self,
        workspace: WorkspaceId,
        epoch: Epoch,
    ) -> Result<Option<TokenHash>, BackendError> {
        let names = self.names(workspace);
        let found = self.cluster.get::<Secret>(&names.instance(epoch)).await;
        let Some(secret) = found.map_err(Failure::unknown)? else {
            return Ok(None);
        };
        if !names.owns(&secret.metadata) || secret.metadata.deletion_timestamp.is_some() {
            return Ok(None);
        }
        let token = secret.data.as_ref().and_then(|data| data.get(TOKEN));
        let text = token.and_then(|token| std::str::from_utf8(&token.0).ok());
        Ok(text.map(TokenHash::of))
    }
}
