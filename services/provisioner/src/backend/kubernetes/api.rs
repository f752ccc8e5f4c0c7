//! Calls to the cluster's API: each has a deadline, and each failure a meaning.

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, ListParams, PartialObjectMeta, PostParams, Preconditions};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::BackendError;

/// Objects that one page of a list holds.
const PAGE: u32 = 500;
/// Pages of a list; what is longer is no list that a decision is made on.
const PAGES: usize = 40;
/// Characters of what the cluster says that are passed on.
const LONGEST: usize = 600;

/// Why a call came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// There is an object of that name.
    Exists,
    /// It was not understood, not allowed, or not possible as it is.
    Refused(String),
    /// Nothing is known.
    Unavailable(String),
}

impl From<Failure> for BackendError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Exists => Self::Unavailable("an object of that name is there already".into()),
            Failure::Refused(text) => Self::Refused(text),
            Failure::Unavailable(text) => Self::Unavailable(text),
        }
    }
}

impl Failure {
    /// What a look that failed says: nothing is known, whatever the reason.
    pub(super) fn unknown(self) -> BackendError {
        match self.into() {
            BackendError::Refused(text) | BackendError::Unavailable(text) => {
                BackendError::Unavailable(text)
            }
        }
    }
}

/// An object of a namespace, of a type that is known when this is compiled.
pub(super) trait Object:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()>
    + Clone
    + Debug
    + DeserializeOwned
    + Serialize
    + Send
    + Sync
    + 'static
{
}

impl<T> Object for T where
    T: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize
        + Send
        + Sync
        + 'static
{
}

/// One namespace of the cluster.
#[derive(Clone)]
pub(super) struct Cluster {
    client: Client,
    namespace: String,
    deadline: Duration,
}

impl Cluster {
    pub(super) fn new(client: Client, namespace: String, deadline: Duration) -> Self {
        Self {
            client,
            namespace,
            deadline,
        }
    }

    fn api<K: Object>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The object of that name. Only the API's own word makes it nothing: a proxy's 404
    /// is a failure.
    pub(super) async fn get<K: Object>(&self, name: &str) -> Result<Option<K>, Failure> {
        let api = self.api::<K>();
        self.call::<K, _>("get", api.get_opt(name)).await
    }

    /// All objects that a selector finds, as they are now and not as a cache had them.
    pub(super) async fn list<K: Object>(&self, selector: &str) -> Result<Vec<K>, Failure> {
        let api = self.api::<K>();
        let mut found = Vec::new();
        let mut params = ListParams::default().labels(selector).limit(PAGE);
        for _ in 0..PAGES {
            let page = self.call::<K, _>("list", api.list(&params)).await?;
            found.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(found),
            }
        }
        Err(too_many::<K>())
    }

    /// What objects are called and marked with, without what they hold.
    pub(super) async fn list_names<K: Object>(
        &self,
        selector: &str,
    ) -> Result<Vec<ObjectMeta>, Failure> {
        let api = self.api::<K>();
        let mut found = Vec::new();
        let mut params = ListParams::default().labels(selector).limit(PAGE);
        for _ in 0..PAGES {
            let page = self
                .call::<K, _>("list", api.list_metadata(&params))
                .await?;
            let names = page.items.into_iter();
            found.extend(names.map(|item: PartialObjectMeta<K>| item.metadata));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(found),
            }
        }
        Err(too_many::<K>())
    }

    /// Whether a list can be had at all.
    pub(super) async fn can_list<K: Object>(&self) -> Result<(), Failure> {
        let api = self.api::<K>();
        let params = ListParams::default().limit(1);
        let page = self.call::<K, _>("list", api.list_metadata(&params));
        page.await.map(drop)
    }

    pub(super) async fn create<K: Object>(&self, object: &K) -> Result<K, Failure> {
        let api = self.api::<K>();
        let params = PostParams::default();
        self.call::<K, _>("create", api.create(&params, object))
            .await
    }

    /// Puts an object in the place of the one that it was read as; nobody's change in
    /// between is lost.
    pub(super) async fn replace<K: Object>(&self, object: &K) -> Result<K, Failure> {
        let api = self.api::<K>();
        let name = object.meta().name.clone().unwrap_or_default();
        let params = PostParams::default();
        self.call::<K, _>("update", api.replace(&name, &params, object))
            .await
    }

    /// Asks for the end of exactly this object; one that is gone is well.
    pub(super) async fn delete<K: Object>(
        &self,
        object: &ObjectMeta,
        grace: Option<Duration>,
    ) -> Result<(), Failure> {
        let api = self.api::<K>();
        let name = object.name.clone().unwrap_or_default();
        let params = DeleteParams {
            grace_period_seconds: grace.map(seconds),
            preconditions: Some(Preconditions {
                uid: object.uid.clone(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let deleted = async {
            match api.delete(&name, &params).await {
                Err(kube::Error::Api(said)) if said.reason == "NotFound" => Ok(()),
                // The name is another object's by now: this one is gone.
                Err(kube::Error::Api(said)) if said.code == 409 => Ok(()),
                other => other.map(drop),
            }
        };
        self.call::<K, _>("delete", deleted).await
    }

    async fn call<K: Object, T>(
        &self,
        verb: &str,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Failure> {
        let what = format!("{verb} {} in {}", K::plural(&()), self.namespace);
        match tokio::time::timeout(self.deadline, call).await {
            Err(_) => Err(Failure::Unavailable(format!(
                "{what}: the cluster's API did not answer within {:?}",
                self.deadline
            ))),
            Ok(Err(error)) => Err(meaning(&what, error)),
            Ok(Ok(value)) => Ok(value),
        }
    }
}

/// Whole seconds, rounded up.
fn seconds(grace: Duration) -> u32 {
    let up = u64::from(grace.subsec_nanos() > 0);
    u32::try_from(grace.as_secs() + up).unwrap_or(u32::MAX)
}

fn too_many<K: Object>() -> Failure {
    Failure::Unavailable(format!(
        "more than {} {} are there: not all were looked at",
        PAGE as usize * PAGES,
        K::plural(&())
    ))
}

/// What a failure means. What is not the API's own word is not repeated: it may hold
/// pieces of a Secret that was read or sent.
fn meaning(what: &str, error: kube::Error) -> Failure {
    let said = match error {
        kube::Error::Api(said) => said,
        kube::Error::SerdeError(_) => {
            return Failure::Unavailable(format!(
                "{what}: an answer came that is not the API's of Kubernetes"
            ));
        }
        kube::Error::Auth(_) => {
            return Failure::Unavailable(format!(
                "{what}: there are no credentials for the cluster: see the kubeconfig or the service account"
            ));
        }
        _ => {
            return Failure::Unavailable(format!("{what}: the cluster's API cannot be reached"));
        }
    };
    let text = format!("{what}: {}", bounded(&said.message));
    match (said.code, said.reason.as_str()) {
        (409, "AlreadyExists") => Failure::Exists,
        // A quota is given free again.
        (403, _) if said.message.contains("exceeded quota") => Failure::Unavailable(text),
        (403, _) if said.message.contains("violates PodSecurity") => Failure::Refused(text),
        (403, "Forbidden") => Failure::Refused(format!(
            "{text} (what the platform's account must be allowed is in deploy/kubernetes/provisioner)"
        )),
        (_, "BadRequest" | "Invalid" | "RequestEntityTooLarge") => Failure::Refused(text),
        (_, "NotFound") if said.message.starts_with("namespaces ") => Failure::Refused(text),
        _ => Failure::Unavailable(text),
    }
}

/// The beginning of a text, for people.
pub(super) fn bounded(text: &str) -> String {
    if text.chars().nth(LONGEST).is_none() {
        return text.to_owned();
    }
    let head: String = text.chars().take(LONGEST).collect();
    format!("{head}…")
}
