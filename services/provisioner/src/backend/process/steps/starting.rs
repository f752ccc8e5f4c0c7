//! How an instance is started, once.

use std::io;

use candor_kernel::WorkspaceId;
use candor_kernel::token::TokenHash;
use tokio::process::Child;

use crate::backend::Plan;
use crate::backend::process::place::Place;
use crate::backend::process::proc::Identity;
use crate::backend::process::record::{self, Ended, Started};
use crate::backend::process::{Failure, ProcessSettings, launch, log, plan};

impl ProcessSettings {
    /// Starts the plan's process; nothing if it runs already.
    pub(in super::super) fn launch(
        &self,
        plan: &Plan,
    ) -> Result<Option<(Identity, Child)>, Failure> {
        plan::check(plan)?;
        let (workspace, epoch) = (plan.workspace, plan.epoch);
        let (place, _held) = Place::make(&self.root, workspace, &self.installation)?;
        if let Some(running) = self.running(&place, workspace)? {
            if running.epoch != epoch {
                return Err(Failure::Busy(format!(
                    "instance {} still runs: it has to be stopped before instance {epoch} \
                     is started",
                    running.epoch
                )));
            }
            let process = self.leader(workspace, &running);
            record::write(&place.folder, &Started { process, ..running })?;
            return Ok(None);
        }
        let written = self.written_token(workspace, epoch)?;
        if written != Some(TokenHash::of(plan.token.expose())) {
            return Err(Failure::Busy(format!(
                "the token of instance {epoch} is not where it will read it: it has to be \
                 written first"
            )));
        }
        // Noted first: who is killed here leaves a process that can be found.
        let mut started = Started {
            epoch,
            process: None,
            url: None,
        };
        record::forget::<Ended>(&place.folder)?;
        record::write(&place.folder, &started)?;
        let log = log::begin(&place.folder, self.log_bytes, &place.room()?)?;
        let mark = self.mark(workspace, epoch);
        let child = match launch::spawn(&self.program, plan, &place, &mark, log) {
            Ok(child) => child,
            Err(failure) => {
                record::forget::<Started>(&place.folder)?;
                return Err(failure);
            }
        };
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        // One that ended at once is still there: nobody has waited for it.
        let process = pid.and_then(Identity::of_child);
        let process = process.ok_or_else(|| io::Error::other("a process without a number"))?;
        started.process = Some(process.clone());
        record::write(&place.folder, &started)?;
        Ok(Some((process, child)))
    }

    /// Notes where it answers, so that its log need not be kept for that.
    pub(in super::super) fn note_url(
        &self,
        workspace: WorkspaceId,
        url: &str,
    ) -> Result<(), Failure> {
        let Some(place) = self.find(workspace)? else {
            return Ok(());
        };
        let _held = place.hold()?;
        if let Some(started) = record::read::<Started>(&place.folder)? {
            let url = Some(url.to_owned());
            record::write(&place.folder, &Started { url, ..started })?;
        }
        Ok(())
    }

    /// Notes how a process ended, as its parent sees it.
    pub(in super::super) fn note_end(
        &self,
        workspace: WorkspaceId,
        ended: &Ended,
    ) -> Result<(), Failure> {
        let Some(place) = self.find(workspace)? else {
            return Ok(());
        };
        let started = record::read::<Started>(&place.folder)?;
        // One that was stopped, or followed by another, is of no interest.
        if started.and_then(|started| started.process).as_ref() == Some(&ended.process) {
            record::write(&place.folder, ended)?;
        }
        Ok(())
    }
}
