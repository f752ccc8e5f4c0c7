//! What things are called on an engine, and whose they are.
//!
//! Names are the legacy platform's. They hold twelve characters of an id, which others may
//! share, and say nothing about the installation: whose a thing is stands in its labels.

use std::collections::HashMap;

use candor_kernel::{Epoch, WorkspaceId};

/// What the legacy platform marks everything with; the same for every installation.
pub(super) const MANAGED: &str = "molecule.platform.managed";
/// The installation that made it.
pub(super) const INSTALLATION: &str = "candor.installation";
/// The workspace that it is of.
pub(super) const WORKSPACE: &str = "candor.workspace";
/// The number of the instance.
pub(super) const EPOCH: &str = "candor.epoch";

/// Labels as the engine gives them.
pub(super) type Labels = HashMap<String, String>;

/// The names of a workspace's things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// The container, and its name in the network.
    pub(super) container: String,
    /// The volume at `/configs`.
    pub(super) configs: String,
    /// The volume with claude-code's sessions.
    pub(super) sessions: String,
    /// The volume at `/workspace`.
    pub(super) workspace: String,
}

impl Names {
    /// Of this workspace.
    pub(super) fn of(workspace: WorkspaceId) -> Self {
        let id = workspace.to_string();
        let short = &id[..12];
        Self {
            container: format!("ws-{short}"),
            configs: format!("ws-{short}-configs"),
            sessions: format!("ws-{short}-claude-sessions"),
            workspace: format!("ws-{id}-workspace"),
        }
    }
}

/// Whose a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// A workspace of this installation.
    Ours(WorkspaceId),
    /// Somebody who marked it: another installation.
    Foreign,
    /// Nobody says so: made by hand, or by the legacy platform.
    Unmarked,
}

/// This installation's mark.
#[derive(Debug, Clone)]
pub(super) struct Mark(String);

impl Mark {
    /// The mark of the installation with this id.
    pub(super) fn of(installation: &str) -> Self {
        Self(installation.to_owned())
    }

    /// The labels of everything that is made for a workspace.
    pub(super) fn labels(&self, workspace: WorkspaceId) -> Labels {
        Labels::from([
            (MANAGED.to_owned(), "true".to_owned()),
            (INSTALLATION.to_owned(), self.0.clone()),
            (WORKSPACE.to_owned(), workspace.to_string()),
        ])
    }

    /// What the engine is asked for to find everything of this installation.
    pub(super) fn everything(&self) -> Vec<String> {
        vec![format!("{INSTALLATION}={}", self.0)]
    }

    /// What the engine is asked for to find everything of one workspace.
    pub(super) fn everything_of(&self, workspace: WorkspaceId) -> Vec<String> {
        let mut labels = self.everything();
        labels.push(format!("{WORKSPACE}={workspace}"));
        labels
    }

    /// Whose a thing with these labels is.
    pub(super) fn owner(&self, labels: Option<&Labels>) -> Owner {
        let label = |name: &str| labels.and_then(|labels| labels.get(name));
        match label(INSTALLATION) {
            None => Owner::Unmarked,
            Some(installation) if *installation == self.0 => label(WORKSPACE)
                .and_then(|id| id.parse().ok())
                .map_or(Owner::Foreign, Owner::Ours),
            Some(_) => Owner::Foreign,
        }
    }
}

/// The number of the instance with these labels. One that cannot be read is older than
/// every instance.
pub(super) fn epoch(labels: Option<&Labels>) -> Epoch {
    let number = labels
        .and_then(|labels| labels.get(EPOCH))
        .and_then(|text| text.parse().ok());
    Epoch(number.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn workspace() -> WorkspaceId {
        "550e8400-e29b-41d4-a716-446655440000".parse().unwrap()
    }

    #[test]
    fn names_are_the_legacy_platforms() {
        let names = Names::of(workspace());
        assert_eq!(names.container, "ws-550e8400-e29");
        assert_eq!(names.configs, "ws-550e8400-e29-configs");
        assert_eq!(names.sessions, "ws-550e8400-e29-claude-sessions");
        assert_eq!(
            names.workspace,
            "ws-550e8400-e29b-41d4-a716-446655440000-workspace"
        );
    }

    #[test]
    fn only_what_carries_the_installation_and_a_workspace_is_ours() {
        let here = Mark::of("here");
        let labels = here.labels(workspace());
        assert_eq!(here.owner(Some(&labels)), Owner::Ours(workspace()));
        assert_eq!(Mark::of("there").owner(Some(&labels)), Owner::Foreign);
        let legacy = Labels::from([(MANAGED.to_owned(), "true".to_owned())]);
        assert_eq!(here.owner(Some(&legacy)), Owner::Unmarked);
        assert_eq!(here.owner(None), Owner::Unmarked);
        let nameless = Labels::from([(INSTALLATION.to_owned(), "here".to_owned())]);
        assert_eq!(here.owner(Some(&nameless)), Owner::Foreign);
    }

    #[test]
    fn an_epoch_that_cannot_be_read_is_older_than_all() {
        let labels = |text: &str| Labels::from([(EPOCH.to_owned(), text.to_owned())]);
        assert_eq!(epoch(Some(&labels("7"))), Epoch(7));
        assert_eq!(epoch(Some(&labels("seven"))), Epoch(0));
        assert_eq!(epoch(None), Epoch(0));
    }
}
