//! Folders that agents write to, held open: no link in them leads elsewhere.
//!
//! Every name is looked up in a folder that is open already and never through a link.
//! What stands in the way of what must be there, a link, a file where a folder belongs,
//! a folder where a file belongs, is taken away.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use uuid::Uuid;

/// A folder that is open.
#[derive(Debug)]
pub(crate) struct Folder(OwnedFd);

impl Folder {
    /// The folder at a path that the operator chose.
    ///
    /// # Errors
    /// The operating system's; `NotFound` if there is none.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        let folder = File::open(path)?;
        if !folder.metadata()?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self(folder.into()))
    }

    /// A folder in this one.
    ///
    /// # Errors
    /// `NotFound` if there is none; `NotADirectory` for a link, too.
    pub(crate) fn folder(&self, name: &str) -> io::Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY;
        match self.open(name, flags, Mode::empty()) {
            Ok(folder) => Ok(Self(folder)),
            Err(Errno::ELOOP) => Err(Errno::ENOTDIR.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// A folder in this one, made if there is none.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn make(&self, name: &str, mode: u32) -> io::Result<Self> {
        match self.folder(name) {
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => self.remove(name)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        match mkdirat(&self.0, name, Mode::from_bits_truncate(mode)) {
            Ok(()) | Err(Errno::EEXIST) => self.folder(name),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes a file, whole or not at all: in `room`, a folder of the same file system,
    /// then moved here. Whether its name outlives a loss of power is of no interest: no
    /// instance does, and the next one's files are written anew.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn write(
        &self,
        name: &str,
        content: &[u8],
        mode: u32,
        room: &Self,
    ) -> io::Result<()> {
        let draft = Uuid::new_v4().to_string();
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
        let owner = Mode::S_IRUSR | Mode::S_IWUSR;
        let mut file = File::from(room.open(&draft, flags, owner)?);
        file.write_all(content)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        let moved = match renameat(&room.0, draft.as_str(), &self.0, name) {
            Err(Errno::EISDIR | Errno::ENOTEMPTY | Errno::EEXIST) => {
                self.remove(name)?;
                renameat(&room.0, draft.as_str(), &self.0, name)
            }
            moved => moved,
        };
        Ok(moved?)
    }

    /// The content of a plain file of at most so many bytes; nothing if there is none.
    ///
    /// # Errors
    /// The operating system's; `InvalidData` if it is longer.
    pub(crate) fn read(&self, name: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
        // A pipe in its place would be waited for.
        let file = match self.open(name, OFlag::O_RDONLY | OFlag::O_NONBLOCK, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::ENOENT | Errno::ELOOP | Errno::ENXIO) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if !file.metadata()?.is_file() {
            return Ok(None);
        }
        let mut content = Vec::new();
        file.take(most + 1).read_to_end(&mut content)?;
        if content.len() as u64 > most {
            let problem = format!("{name}: more than {most} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        Ok(Some(content))
    }

    /// What is in it, by name: files with their length in bytes, folders without. Links,
    /// what is neither, and names that are no text are left out.
    ///
    /// # Errors
    /// The operating system's; `InvalidData` if there is more than that.
    pub(crate) fn entries(&self, most: usize) -> io::Result<Vec<(String, Option<u64>)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.path())? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if found.len() == most {
                let problem = format!("more than {most} files and folders");
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            }
            match entry.metadata() {
                Ok(about) if about.is_dir() => found.push((name, None)),
                Ok(about) if about.is_file() => found.push((name, Some(about.len()))),
                Ok(_) => {}
                // It went meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        found.sort();
        Ok(found)
    }

    /// The same folder, once more.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn again(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// A file to append to, made if there is none.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn append_to(&self, name: &str) -> io::Result<File> {
        let flags = OFlag::O_RDWR | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_NONBLOCK;
        Ok(File::from(self.open(
            name,
            flags,
            Mode::S_IRUSR | Mode::S_IWUSR,
        )?))
    }

    /// Takes away what has this name, whatever it is.
    ///
    /// # Errors
    /// The operating system's. That there is nothing is no error.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.0, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => return Ok(()),
            // What POSIX has for a folder, and what Linux has.
            Err(Errno::EISDIR | Errno::EPERM) => {}
            Err(error) => return Err(error.into()),
        }
        let path = self.path().join(name);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                // Caches of modules are read-only, to keep people from editing them.
                open_up(&path)?;
                fs::remove_dir_all(&path)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Takes away everything in it.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn clear(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.path())? {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else {
                // `remove` takes names of ours; this one is an agent's.
                remove_odd(&self.path().join(name))?;
                continue;
            };
            self.remove(name)?;
        }
        Ok(())
    }

    /// The folder as a file: to be locked.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn as_file(&self) -> io::Result<File> {
        // Opened again: a lock belongs to what was opened, not to the folder.
        File::open(self.path())
    }

    /// A path to the folder itself, wherever it is now.
    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }

    fn open(&self, name: &str, flags: OFlag, mode: Mode) -> Result<OwnedFd, Errno> {
        let always = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(self.0.as_fd(), name, flags | always, mode)
    }
}

fn remove_odd(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

/// Gives the owner every right on the folders below.
fn open_up(top: &Path) -> io::Result<()> {
    let mut folders = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_replaced_and_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("theirs"), "theirs").unwrap();
        let at = |name: &str| place.path().join(name);
        symlink(outside.path(), at("folder")).unwrap();
        symlink(outside.path().join("theirs"), at("file")).unwrap();
        let folder = Folder::at(place.path()).unwrap();
        assert_eq!(
            folder.folder("folder").unwrap_err().kind(),
            io::ErrorKind::NotADirectory
        );
        assert_eq!(folder.read("file", 100).unwrap(), None);
        let made = folder.make("folder", 0o755).unwrap();
        made.write("theirs", b"ours", 0o644, &folder).unwrap();
        folder.write("file", b"ours", 0o600, &folder).unwrap();
        let theirs = fs::read_to_string(outside.path().join("theirs")).unwrap();
        assert_eq!(theirs, "theirs");
        assert_eq!(fs::read_to_string(at("file")).unwrap(), "ours");
        assert_eq!(fs::read_to_string(at("folder/theirs")).unwrap(), "ours");
        symlink(outside.path(), at("again")).unwrap();
        folder.remove("again").unwrap();
        folder.clear().unwrap();
        assert!(outside.path().join("theirs").exists());
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_pipe_is_no_file_and_a_long_file_is_no_token() {
        let place = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&place.path().join("pipe"), Mode::S_IRWXU).unwrap();
        fs::write(place.path().join("long"), [0; 11]).unwrap();
        let folder = Folder::at(place.path()).unwrap();
        assert_eq!(folder.read("pipe", 10).unwrap(), None);
        assert_eq!(folder.read("none", 10).unwrap(), None);
        assert_eq!(
            folder.read("long", 10).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        assert_eq!(folder.read("long", 11).unwrap().unwrap().len(), 11);
    }

    #[test]
    fn folders_that_may_not_be_written_are_removed_too() {
        let place = tempfile::tempdir().unwrap();
        let cache = place.path().join("cache/module");
        fs::create_dir_all(&cache).unwrap();
        fs::write(cache.join("file"), "x").unwrap();
        fs::set_permissions(&cache, Permissions::from_mode(0o555)).unwrap();
        Folder::at(place.path()).unwrap().remove("cache").unwrap();
        assert!(!place.path().join("cache").exists());
    }
}
