//! Files of an instance for people who look at them, or write some of its configuration,
//! whether it runs or not. Nothing of the place but these folders is reached.

use std::io;

use bytes::Bytes;
use candor_kernel::WorkspaceId;

use crate::backend::process::place::{CONFIGS, Place, WORKSPACE};
use crate::backend::process::{Failure, ProcessSettings, plan};
use crate::backend::{ConfigFile, FileEntry, LONGEST_FILE, Live, MOST_LISTED, Root};
use crate::folder::Folder;
use crate::walk::{self, Bounds};

impl ProcessSettings {
    /// See [`crate::backend::Backend::list_files`].
    pub(in super::super) fn list_files(
        &self,
        workspace: WorkspaceId,
        root: Root,
        path: &str,
        depth: usize,
    ) -> Result<Live<Vec<FileEntry>>, Failure> {
        let Some(place) = self.find(workspace)? else {
            return Ok(Live::Unseen);
        };
        let Some(folder) = folder_of(&place, root)? else {
            return Ok(Live::Seen(Vec::new()));
        };
        let Some(folder) = walk::below(folder, path)? else {
            return Ok(Live::Seen(Vec::new()));
        };
        let bounds = Bounds {
            depth,
            entries: MOST_LISTED,
        };
        let mut found = walk::tree(&folder, bounds).map_err(|error| too_much(error, root, path))?;
        if root == Root::Configs && path.is_empty() {
            found.retain(|entry| entry.path.split('/').next() != Some(plan::TOKEN));
        }
        Ok(Live::Seen(found))
    }

    /// See [`crate::backend::Backend::read_file`].
    pub(in super::super) fn read_file(
        &self,
        workspace: WorkspaceId,
        root: Root,
        path: &str,
    ) -> Result<Live<Option<Bytes>>, Failure> {
        let Some(place) = self.find(workspace)? else {
            return Ok(Live::Unseen);
        };
        let Some(folder) = folder_of(&place, root)? else {
            return Ok(Live::Seen(None));
        };
        let read = walk::file(folder, path, LONGEST_FILE);
        let content = read.map_err(|error| too_much(error, root, path))?;
        Ok(Live::Seen(content.map(Bytes::from)))
    }

    /// See [`crate::backend::Backend::write_files`].
    pub(in super::super) fn write_files(
        &self,
        workspace: WorkspaceId,
        files: &[ConfigFile],
    ) -> Result<Live<&'static str>, Failure> {
        let Some(place) = self.find(workspace)? else {
            return Ok(Live::Unseen);
        };
        let _held = place.hold()?;
        let Some(configs) = folder_of(&place, Root::Configs)? else {
            return Ok(Live::Unseen);
        };
        let room = place.room()?;
        for file in files {
            write_file(configs.again()?, file, &room)?;
        }
        let running = self.running(&place, workspace)?;
        Ok(Live::Seen(match running {
            Some(_) => "container",
            None => "volume",
        }))
    }

    /// See [`crate::backend::Backend::delete_file`].
    pub(in super::super) fn delete_file(
        &self,
        workspace: WorkspaceId,
        path: &str,
    ) -> Result<Live<()>, Failure> {
        let Some(place) = self.find(workspace)? else {
            return Ok(Live::Unseen);
        };
        let _held = place.hold()?;
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        if let Some(configs) = folder_of(&place, Root::Configs)?
            && let Some(folder) = walk::below(configs, above)?
        {
            folder.remove(name)?;
        }
        Ok(Live::Seen(()))
    }
}

/// The folder of an instance, if it has one of its own. What is mounted from elsewhere is
/// not the platform's to show.
fn folder_of(place: &Place, root: Root) -> io::Result<Option<Folder>> {
    let name = match root {
        Root::Configs => CONFIGS,
        Root::Workspace => WORKSPACE,
        Root::Home | Root::Plugins => return Ok(None),
    };
    match place.folder.folder(name) {
        Ok(folder) => Ok(Some(folder)),
        Err(error) if walk::is_elsewhere(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes one file; what an agent put in its way stays.
fn write_file(configs: Folder, file: &ConfigFile, room: &Folder) -> Result<(), Failure> {
    let (above, name) = file.path().rsplit_once('/').unwrap_or(("", file.path()));
    let mut folder = configs;
    for part in above.split('/').filter(|part| !part.is_empty()) {
        folder = match folder.folder(part) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => folder.make(part, 0o755)?,
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                let why = format!("{}: {part} is no folder", file.path());
                return Err(Failure::Refused(why));
            }
            other => other?,
        };
    }
    match folder.folder(name) {
        Ok(_) => {
            let why = format!("{} is a folder", file.path());
            Err(Failure::Refused(why))
        }
        Err(_) => Ok(folder.write(name, &file.content, 0o644, room)?),
    }
}

fn too_much(error: io::Error, root: Root, path: &str) -> Failure {
    match error.kind() {
        io::ErrorKind::InvalidData => Failure::Refused(format!("{}/{path}: {error}", root.path())),
        _ => Failure::Io(error),
    }
}
