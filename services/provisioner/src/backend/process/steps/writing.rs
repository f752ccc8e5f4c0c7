//! What an instance will read.

use std::io;

use candor_kernel::token::TokenHash;
use candor_kernel::{Epoch, WorkspaceId};

use crate::backend::process::place::{CONFIGS, PRIVATE, Place, SESSION, WORKSPACE};
use crate::backend::process::record::{self, Written};
use crate::backend::process::{Failure, ProcessSettings, plan};
use crate::backend::{ConfigFile, Mount, Plan};
use crate::folder::Folder;

/// Longest token that is read back, in bytes.
const TOKEN_BYTES: u64 = 4 * 1024;
/// Where the runtime notes the session that it goes on with, below `/configs`.
const SESSION_NOTE: (&str, &str) = (".candor", "claude-session");

impl ProcessSettings {
    /// See [`crate::backend::Backend::write`].
    pub(in super::super) fn write(&self, plan: &Plan) -> Result<(), Failure> {
        plan::check(plan)?;
        let (place, _held) = Place::make(&self.root, plan.workspace, &self.installation)?;
        let written = record::read::<Written>(&place.folder)?;
        let epoch = plan.epoch;
        if let Some(newer) = written.filter(|written| written.epoch > epoch) {
            return Err(Failure::Busy(format!(
                "what instance {} reads is there already: instance {epoch} is an older one",
                newer.epoch
            )));
        }
        if let Some(running) = self.running(&place, plan.workspace)? {
            return Err(Failure::Busy(format!(
                "instance {} still runs, and would read what is for instance {epoch}: it \
                 has to be stopped first",
                running.epoch
            )));
        }
        record::forget::<Written>(&place.folder)?;
        let room = place.room()?;
        // Drafts of a platform that was killed.
        room.clear()?;
        let configs = place.folder.make(CONFIGS, PRIVATE)?;
        if plan.reset_session {
            place.folder.remove(SESSION)?;
            let (folder, note) = SESSION_NOTE;
            if let Ok(folder) = configs.folder(folder) {
                folder.remove(note)?;
            }
        }
        place.folder.make(SESSION, PRIVATE)?;
        if plan.mount == Mount::Volume {
            place.folder.make(WORKSPACE, PRIVATE)?;
        }
        for file in &plan.files {
            write_file(&configs, file, &room)?;
        }
        let token = plan.token.expose().as_bytes();
        configs.write(plan::TOKEN, token, 0o600, &room)?;
        record::write(&place.folder, &Written { epoch })?;
        Ok(())
    }

    /// See [`crate::backend::Backend::written_token`].
    pub(in super::super) fn written_token(
        &self,
        workspace: WorkspaceId,
        epoch: Epoch,
    ) -> Result<Option<TokenHash>, Failure> {
        let Some(place) = self.find(workspace)? else {
            return Ok(None);
        };
        match record::read::<Written>(&place.folder)? {
            Some(written) if written.epoch == epoch => token(&place),
            _ => Ok(None),
        }
    }
}

fn write_file(configs: &Folder, file: &ConfigFile, room: &Folder) -> io::Result<()> {
    let mut above: Vec<&str> = file.path().split('/').collect();
    let Some(name) = above.pop() else {
        return Ok(());
    };
    let mut deepest = None;
    for part in above {
        let folder = deepest.as_ref().unwrap_or(configs).make(part, 0o755)?;
        deepest = Some(folder);
    }
    let folder = deepest.as_ref().unwrap_or(configs);
    folder.write(name, &file.content, 0o644, room)
}

/// The hash of the token as the instance reads it.
fn token(place: &Place) -> Result<Option<TokenHash>, Failure> {
    let configs = match place.folder.folder(CONFIGS) {
        Ok(configs) => configs,
        Err(error)
            if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind()) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let token = match configs.read(plan::TOKEN, TOKEN_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
        other => other?,
    };
    let text = token.and_then(|token| String::from_utf8(token).ok());
    Ok(text.map(|text| TokenHash::of(text.trim())))
}
