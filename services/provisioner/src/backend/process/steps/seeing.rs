//! What there is.

use std::io;

use candor_kernel::WorkspaceId;

use crate::backend::process::members;
use crate::backend::process::place::{self, Place};
use crate::backend::process::proc::{self, Identity};
use crate::backend::process::record::{self, Ended, Started};
use crate::backend::process::{Failure, ProcessSettings, launch, log};
use crate::backend::{Found, Observed};

impl ProcessSettings {
    /// See [`crate::backend::Backend::ready`].
    pub(in super::super) fn ready(&self) -> Result<(), Failure> {
        let Some(own) = i32::try_from(std::process::id()).ok() else {
            return Err(Failure::Refused("the platform has no number".into()));
        };
        if Identity::of(own).is_none() {
            let why = "processes are watched through /proc: this needs Linux with /proc mounted";
            return Err(Failure::Refused(why.into()));
        }
        match std::fs::metadata(&self.program) {
            Ok(program) if program.is_file() => {}
            Ok(_) => {
                let why = launch::cannot_run(&self.program, &"it is no file");
                return Err(Failure::Refused(why));
            }
            Err(error) => return Err(Failure::Refused(launch::cannot_run(&self.program, &error))),
        }
        let try_out = || {
            std::fs::create_dir_all(&self.root)?;
            tempfile::tempfile_in(&self.root).map(drop)
        };
        try_out().map_err(|error: io::Error| {
            Failure::Refused(format!(
                "{}: cannot be written: {error}; choose another data directory",
                self.root.display()
            ))
        })
    }

    /// See [`crate::backend::Backend::observe`]; also the process that ended.
    pub(in super::super) fn observe(
        &self,
        workspace: WorkspaceId,
    ) -> Result<(Observed, Option<Identity>), Failure> {
        let nothing = (Observed::NotFound, None);
        let Some(place) = self.find(workspace)? else {
            // A folder that is gone, perhaps with its disk, is no proof.
            return match members::any(&self.marks(workspace)) {
                Some(pid) => Err(Failure::Busy(format!(
                    "process {pid} is an instance of {workspace}, whose folder is gone:                      bring it back, or stop the workspace"
                ))),
                None => Ok(nothing),
            };
        };
        let Some(started) = record::read::<Started>(&place.folder)? else {
            return Ok(nothing);
        };
        let epoch = started.epoch;
        let Some(process) = self
            .leader(workspace, &started)
            .or_else(|| started.process.clone())
        else {
            // Between the note and the process: somebody is at it, was, or was killed.
            return match place.try_hold()? {
                None => Ok((Observed::Starting { epoch }, None)),
                Some(_) if record::read(&place.folder)? == Some(started) => Ok(nothing),
                Some(held) => {
                    drop(held);
                    self.observe(workspace)
                }
            };
        };
        if process.runs() {
            let url = match started.url {
                Some(url) => {
                    log::bound(&place.folder, self.log_bytes, &place.room()?)?;
                    Some(url)
                }
                None => log::url(&place.folder)?,
            };
            return Ok(match url {
                Some(_) => (Observed::Running { epoch, url }, None),
                None => (Observed::Starting { epoch }, None),
            });
        }
        let why = why(&place, &process)?;
        Ok((Observed::Exited { epoch, why }, Some(process)))
    }

    /// See [`crate::backend::Backend::list`].
    pub(in super::super) fn list(&self) -> Result<Vec<Found>, Failure> {
        let mut found = Vec::new();
        for workspace in place::all(&self.root)? {
            if self.find(workspace)?.is_some() {
                let (observed, _) = self.observe(workspace)?;
                found.push(Found {
                    workspace,
                    observed,
                });
            }
        }
        Ok(found)
    }
}

/// Why the process ended, for people.
fn why(place: &Place, process: &Identity) -> Result<String, Failure> {
    let seen = record::read::<Ended>(&place.folder)?;
    let how = match seen.filter(|ended| ended.process == *process) {
        Some(ended) => ended.how,
        None if process.boot != proc::boot() => "the machine was started again".into(),
        None => "how it ended was not seen: the platform that started it is gone".into(),
    };
    let words = log::last_words(&place.folder)?;
    Ok(match words.is_empty() {
        true => how,
        false => format!("{how}; its last words:\n{words}"),
    })
}
