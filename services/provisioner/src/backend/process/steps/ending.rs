//! How what there is comes to its end.

use std::io;
use std::time::Duration;

use candor_kernel::WorkspaceId;

use crate::backend::Remove;
use crate::backend::process::members::Members;
use crate::backend::process::place::{Place, WORKSPACE};
use crate::backend::process::proc::Identity;
use crate::backend::process::record::{self, Ended, Started};
use crate::backend::process::{Failure, ProcessSettings};

impl ProcessSettings {
    /// See [`crate::backend::Backend::stop`]; the process that ran, if one did.
    pub(in super::super) fn stop(
        &self,
        workspace: WorkspaceId,
        grace: Duration,
    ) -> Result<Option<Identity>, Failure> {
        let place = self.find(workspace)?;
        let held = place.as_ref().map(Place::hold).transpose()?;
        let started = match &place {
            // A note that is none is no reason to leave anything: the marks are there.
            Some(place) => match record::read::<Started>(&place.folder) {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
                other => other?,
            },
            None => None,
        };
        let leader = started.and_then(|started| self.leader(workspace, &started));
        let left = Members::of(self.marks(workspace), leader.clone()).end(grace);
        if !left.is_empty() {
            let left: Vec<String> = left.iter().map(ToString::to_string).collect();
            return Err(Failure::Busy(format!(
                "processes of the instance cannot be ended: {}",
                left.join(", ")
            )));
        }
        if let Some(place) = &place {
            record::forget::<Started>(&place.folder)?;
            record::forget::<Ended>(&place.folder)?;
        }
        drop(held);
        Ok(leader)
    }

    /// See [`crate::backend::Backend::remove`].
    pub(in super::super) fn remove(
        &self,
        workspace: WorkspaceId,
        what: Remove,
    ) -> Result<(), Failure> {
        let Some(place) = self.find(workspace)? else {
            return Ok(());
        };
        let _held = place.hold()?;
        if let Some(running) = self.running(&place, workspace)? {
            let epoch = running.epoch;
            return Err(Failure::Busy(format!(
                "instance {epoch} still runs: it has to be stopped first"
            )));
        }
        match what {
            Remove::Configs => {
                place.clear(&[WORKSPACE])?;
                // Without work in it there is nothing to keep.
                let work = place.path.join(WORKSPACE);
                if std::fs::remove_dir(&work).is_ok() || !work.exists() {
                    place.remove()?;
                }
            }
            Remove::Everything => place.remove()?,
        }
        Ok(())
    }
}
