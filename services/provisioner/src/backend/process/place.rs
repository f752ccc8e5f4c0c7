//! Where what belongs to a workspace is: `<root>/<workspace id>/`.
//!
//! | name | what |
//! |---|---|
//! | `configs` | `/configs`: files and the token |
//! | `workspace` | `/workspace`, unless it is a folder of the host or nothing |
//! | `session` | the instance's home: what its runtime keeps of its session |
//! | `log`, `log.earlier` | what it said |
//! | `room` | drafts of files |
//! | `*.json` | notes ([`super::record`]) |

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candor_kernel::WorkspaceId;

use super::Failure;
use super::record::{self, Note as _, Owner};
use crate::folder::Folder;

/// `/configs`.
pub(super) const CONFIGS: &str = "configs";
/// `/workspace`.
pub(super) const WORKSPACE: &str = "workspace";
/// The instance's home.
pub(super) const SESSION: &str = "session";
/// Drafts of files.
const ROOM: &str = "room";
/// Only the platform's user has anything to do here.
pub(super) const PRIVATE: u32 = 0o700;
/// How long another step of the same workspace is waited for.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often it is looked.
const POLL: Duration = Duration::from_millis(10);

/// A workspace's place.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) folder: Folder,
}

/// The right to change a workspace's place, against every other process. A process that
/// is being started holds it too until it runs its own program: what a killed platform
/// was about to start is visible once this can be had.
#[derive(Debug)]
pub(super) struct Held {
    _lock: File,
}

impl Place {
    /// The workspace's place, if it has one that this installation made.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn find(
        root: &Path,
        workspace: WorkspaceId,
        installation: &str,
    ) -> io::Result<Option<Self>> {
        let path = root.join(workspace.to_string());
        let folder = match Folder::at(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let owner: Option<Owner> = record::read(&folder)?;
        let ours = owner.is_some_and(|owner| owner.installation == installation);
        Ok(ours.then_some(Self { path, folder }))
    }

    /// The workspace's place, made if it has none.
    ///
    /// # Errors
    /// [`Failure::Refused`] if it is another installation's.
    pub(super) fn make(
        root: &Path,
        workspace: WorkspaceId,
        installation: &str,
    ) -> Result<(Self, Held), Failure> {
        let path = root.join(workspace.to_string());
        let private = |recursive| {
            let mut builder = DirBuilder::new();
            builder.mode(PRIVATE).recursive(recursive);
            builder
        };
        private(true).create(&path)?;
        let folder = Folder::at(&path)?;
        let place = Self { path, folder };
        let held = place.hold()?;
        match record::read::<Owner>(&place.folder)? {
            Some(owner) if owner.installation == installation => {}
            Some(_) => {
                return Err(Failure::Refused(format!(
                    "{} belongs to another installation of Candor: give each a data \
                     directory of its own",
                    place.path.display()
                )));
            }
            None => {
                let installation = installation.to_owned();
                record::write(&place.folder, &Owner { installation })?;
            }
        }
        Ok((place, held))
    }

    /// Waits for the right to change it.
    ///
    /// # Errors
    /// [`Failure::Busy`] if another step takes too long.
    pub(super) fn hold(&self) -> Result<Held, Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(held) = self.try_hold()? {
                return Ok(held);
            }
            if Instant::now() > deadline {
                let why = "another step of this workspace takes its time";
                return Err(Failure::Busy(why.to_owned()));
            }
            std::thread::sleep(POLL);
        }
    }

    /// The right to change it, if nobody has it.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn try_hold(&self) -> io::Result<Option<Held>> {
        let lock = self.folder.as_file()?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // It may have been taken away, and made again, while it was waited for.
        let here = fs::metadata(&self.path).map(|now| (now.dev(), now.ino()));
        let locked = lock.metadata()?;
        if here.ok() == Some((locked.dev(), locked.ino())) {
            Ok(Some(Held { _lock: lock }))
        } else {
            Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{} was taken away meanwhile", self.path.display()),
            ))
        }
    }

    /// Where drafts of files are.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn room(&self) -> io::Result<Folder> {
        self.folder.make(ROOM, PRIVATE)
    }

    /// Takes everything away but the names in `kept` and whose it is.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn clear(&self, kept: &[&str]) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            if name != Owner::FILE && !kept.contains(&name) {
                self.folder.remove(name)?;
            }
        }
        Ok(())
    }

    /// Takes the whole place away; whose it is goes last, so that it is found again
    /// after a crash.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn remove(self) -> io::Result<()> {
        self.clear(&[])?;
        record::forget::<Owner>(&self.folder)?;
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

/// The workspaces that have a place, whosever it is.
///
/// # Errors
/// The operating system's.
pub(super) fn all(root: &Path) -> io::Result<Vec<WorkspaceId>> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.parse().ok());
        // An id that is written in another way is not ours, nor is a plain file.
        let ours = id.filter(|id: &WorkspaceId| name == *id.to_string());
        found.extend(ours.filter(|_| entry.path().is_dir()));
    }
    Ok(found)
}
