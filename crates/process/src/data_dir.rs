//! The data directory: one Candor at a time owns it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The file whose lock is the ownership of the directory.
const LOCK_FILE: &str = "candor.lock";

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process owns it.
    #[error("data directory {} is in use by process {pid}", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The owner's process id, `unknown` if it has not written it yet.
        pid: String,
    },
    /// The file system refused.
    #[error("data directory {}: {problem}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        problem: io::Error,
    },
}

/// An owned data directory. Dropping it, or dying in any way, gives it free.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Holds the lock; the kernel releases it with the last handle.
    _lock: File,
}

impl DataDir {
    /// Creates the directory if need be, and takes it.
    ///
    /// # Errors
    /// [`DataDirError::InUse`] names the owner; else what the file system said.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let refused = |path: &Path, problem| DataDirError::Io {
            path: path.into(),
            problem,
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(path)
            .map_err(|problem| refused(path, problem))?;
        let path = path
            .canonicalize()
            .map_err(|problem| refused(path, problem))?;
        let file = path.join(LOCK_FILE);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(&file)
            .map_err(|problem| refused(&file, problem))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DataDirError::InUse {
                    path,
                    pid: owner(&mut lock),
                });
            }
            Err(TryLockError::Error(problem)) => return Err(refused(&file, problem)),
        }
        record_owner(&mut lock).map_err(|problem| refused(&file, problem))?;
        Ok(Self { path, _lock: lock })
    }

    /// The directory, absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn owner(lock: &mut File) -> String {
    let mut text = String::new();
    match lock.read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}

fn record_owner(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())?;
    lock.flush()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_second_owner_is_refused_and_learns_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::open(dir.path()).unwrap();
        let refusal = DataDir::open(dir.path()).unwrap_err().to_string();
        assert!(
            refusal.contains(&std::process::id().to_string()),
            "{refusal}"
        );
        assert!(
            refusal.contains(&first.path().display().to_string()),
            "{refusal}"
        );
        drop(first);
        DataDir::open(dir.path()).unwrap();
    }
}
