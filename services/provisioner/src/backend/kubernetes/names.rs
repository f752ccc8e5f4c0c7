//! What things are called, and how they are found again.
//!
//! Names carry the workspace's whole id: the first twelve characters, which name a
//! container on one machine, are mostly time in ids of version 7, and would collide.

use std::collections::BTreeMap;

use candor_kernel::{Epoch, WorkspaceId};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

/// Whose object it is.
pub(super) const INSTALLATION: &str = "candor/installation";
/// The workspace.
pub(super) const WORKSPACE: &str = "candor/workspace";
/// The instance's number.
pub(super) const EPOCH: &str = "candor/epoch";
/// The workspace's name, an annotation for people.
pub(super) const NAME: &str = "candor/name";
/// The port on which every instance serves A2A.
pub(super) const PORT: u16 = 8000;
/// Characters of a workspace's name that are kept for people.
const LONGEST_NAME: usize = 200;

/// The names of one workspace's objects, and the marks on them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) installation: &'a str,
    pub(super) namespace: &'a str,
    pub(super) workspace: WorkspaceId,
}

impl Names<'_> {
    /// The Service, the network policy: what stands for the workspace as a whole.
    pub(super) fn anchor(&self) -> String {
        format!("ws-{}", self.workspace)
    }

    /// The Pod and the Secret of one instance.
    pub(super) fn instance(&self, epoch: Epoch) -> String {
        format!("ws-{}-{epoch}", self.workspace)
    }

    /// The volume of `/configs`.
    pub(super) fn configs(&self) -> String {
        format!("ws-{}-configs", self.workspace)
    }

    /// The volume of `/workspace`.
    pub(super) fn work(&self) -> String {
        format!("ws-{}-workspace", self.workspace)
    }

    /// The workspace's host name in the cluster; the same for every instance.
    pub(super) fn host(&self) -> String {
        format!("{}.{}.svc", self.anchor(), self.namespace)
    }

    /// Where the platform reaches the instance.
    pub(super) fn url(&self) -> String {
        format!("http://{}:{PORT}", self.host())
    }

    /// The marks of everything that belongs to the workspace.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.marks();
        labels.insert("app.kubernetes.io/name".into(), "candor-instance".into());
        labels.insert("app.kubernetes.io/managed-by".into(), "candor".into());
        labels
    }

    /// The marks by which the workspace's objects are found.
    pub(super) fn marks(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            (INSTALLATION.into(), self.installation.into()),
            (WORKSPACE.into(), self.workspace.to_string()),
        ])
    }

    /// The marks of one instance.
    pub(super) fn marks_of(&self, epoch: Epoch) -> BTreeMap<String, String> {
        let mut marks = self.marks();
        marks.insert(EPOCH.into(), epoch.to_string());
        marks
    }

    /// Finds all that belongs to the workspace.
    pub(super) fn selector(&self) -> String {
        format!(
            "{INSTALLATION}={},{WORKSPACE}={}",
            self.installation, self.workspace
        )
    }

    /// Metadata of an object that belongs to the workspace.
    pub(super) fn meta(&self, name: String) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: Some(self.namespace.into()),
            labels: Some(self.labels()),
            ..ObjectMeta::default()
        }
    }

    /// Metadata of an object that belongs to one instance.
    pub(super) fn meta_of(&self, epoch: Epoch, name: String) -> ObjectMeta {
        let mut meta = self.meta(name);
        if let Some(labels) = &mut meta.labels {
            labels.insert(EPOCH.into(), epoch.to_string());
        }
        meta
    }

    /// Whether an object that was found by its name is this workspace's, and not
    /// another installation's or somebody's own.
    pub(super) fn owns(&self, meta: &ObjectMeta) -> bool {
        label(meta, INSTALLATION) == Some(self.installation)
            && workspace_of(meta) == Some(self.workspace)
    }
}

/// Finds all that belongs to an installation.
pub(super) fn installation_selector(installation: &str) -> String {
    format!("{INSTALLATION}={installation}")
}

/// The workspace that an object belongs to.
pub(super) fn workspace_of(meta: &ObjectMeta) -> Option<WorkspaceId> {
    label(meta, WORKSPACE)?.parse().ok()
}

/// The instance that an object belongs to; 0, which is none's number, without a mark.
pub(super) fn epoch_of(meta: &ObjectMeta) -> Epoch {
    let number = label(meta, EPOCH).and_then(|text| text.parse().ok());
    Epoch(number.unwrap_or_default())
}

fn label<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.labels.as_ref()?.get(key).map(String::as_str)
}

/// A workspace's name as an annotation.
pub(super) fn for_people(name: &str) -> BTreeMap<String, String> {
    let name = name.chars().take(LONGEST_NAME).collect();
    BTreeMap::from([(NAME.into(), name)])
}

/// The reference by which an object goes when the workspace's Service goes.
pub(super) fn owned_by(anchor: &ObjectMeta) -> Option<Vec<OwnerReference>> {
    Some(vec![OwnerReference {
        api_version: "v1".into(),
        kind: "Service".into(),
        name: anchor.name.clone()?,
        uid: anchor.uid.clone()?,
        ..OwnerReference::default()
    }])
}
