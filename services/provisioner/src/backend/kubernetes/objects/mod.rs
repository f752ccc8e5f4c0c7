//! What is made of a plan: each object as data, without a call.

mod pod;
mod policy;
mod secret;
mod service;
mod volume;

pub(super) use pod::pod;
pub(super) use policy::policy;
pub(super) use secret::{LARGEST, TOKEN, secret};
pub(super) use service::{service, steering};
pub(super) use volume::claim;

use super::super::{BackendError, Mount, Plan, Tier};
use super::names::Names;
use super::settings::Settings;

/// What the objects of one instance are made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Made<'a> {
    pub(super) settings: &'a Settings,
    pub(super) names: Names<'a>,
    pub(super) plan: &'a Plan,
}

impl<'a> Made<'a> {
    pub(super) fn of(settings: &'a Settings, plan: &'a Plan) -> Self {
        let names = Names {
            installation: &settings.installation,
            namespace: &settings.namespace,
            workspace: plan.workspace,
        };
        Self {
            settings,
            names,
            plan,
        }
    }

    /// Whether the tier is root on its node.
    fn is_privileged(&self) -> bool {
        matches!(self.plan.tier, Tier::T3 | Tier::T4)
    }

    /// Whether the instance has a volume of its own as `/workspace`.
    pub(super) fn has_work(&self) -> bool {
        self.plan.tier != Tier::T1 && self.plan.mount == Mount::Volume
    }

    /// The image: the plan's, else the runtime's.
    fn image(&self) -> Result<&str, BackendError> {
        let of_runtime = || self.settings.images.get(&self.plan.runtime);
        let image = self.plan.image.as_ref().or_else(of_runtime);
        image.map(String::as_str).ok_or_else(|| {
            BackendError::Refused(format!(
                "no image is known for the runtime {:?}: name one in --images (CANDOR_IMAGES)",
                self.plan.runtime
            ))
        })
    }

    /// Refuses what this installation does not make.
    pub(super) fn check(&self) -> Result<(), BackendError> {
        let refused = |text: String| Err(BackendError::Refused(text));
        if self.is_privileged() && !self.settings.allow_privileged {
            return refused(format!(
                "tier {} is root on its node, which this installation does not allow: use tier 1 or 2, \
                 or set --allow-privileged (CANDOR_ALLOW_PRIVILEGED=true; the namespace's pod-security \
                 level must be `privileged` then)",
                if self.plan.tier == Tier::T3 { 3 } else { 4 }
            ));
        }
        if let Mount::Host { path, .. } = &self.plan.mount {
            if !self.settings.allow_node_folders {
                return refused(format!(
                    "{} would be a folder of whichever node is chosen, which this installation does not allow: \
                     use a volume, or set --kubernetes-node-folders (CANDOR_KUBERNETES_NODE_FOLDERS=true)",
                    path.display()
                ));
            }
            if !path.is_absolute() || path.to_str().is_none() {
                return refused(format!(
                    "{path:?} is no absolute path: name the folder by one"
                ));
            }
        }
        self.image().map(drop)
    }
}
