//! The steps, as they are done: they block, and each that changes something holds the
//! workspace's lock.

mod ending;
mod files;
mod seeing;
mod starting;
mod writing;

use std::io;

use candor_kernel::{Epoch, WorkspaceId};

use super::members;
use super::place::Place;
use super::proc::Identity;
use super::record::{self, Started};
use super::{Failure, ProcessSettings};

impl ProcessSettings {
    /// The workspace's place, if it has one of this installation.
    fn find(&self, workspace: WorkspaceId) -> io::Result<Option<Place>> {
        Place::find(&self.root, workspace, &self.installation)
    }

    /// What the marks of the workspace's instances begin with.
    fn marks(&self, workspace: WorkspaceId) -> String {
        format!("{}/{workspace}/", self.installation)
    }

    /// The mark of one instance.
    fn mark(&self, workspace: WorkspaceId, epoch: Epoch) -> String {
        format!("{}{epoch}", self.marks(workspace))
    }

    /// The first process of the instance that was started last, if it runs.
    fn leader(&self, workspace: WorkspaceId, started: &Started) -> Option<Identity> {
        match &started.process {
            Some(process) => process.runs().then(|| process.clone()),
            None => members::leader(&self.mark(workspace, started.epoch)),
        }
    }

    /// The instance that runs, if one does.
    fn running(&self, place: &Place, workspace: WorkspaceId) -> Result<Option<Started>, Failure> {
        let started = record::read::<Started>(&place.folder)?;
        Ok(started.filter(|started| self.leader(workspace, started).is_some()))
    }
}
