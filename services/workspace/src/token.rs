//! The workspace's token: a file that whoever starts the workspace writes before, or
//! that this process writes when the platform gives it one (design section 4).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use candor_process::config::Secret;
use parking_lot::Mutex;

use crate::durable;

/// The file's name below `CONFIGS_DIR`.
pub const FILE: &str = ".auth_token";
/// A token is 43 characters long; what is far longer is another file.
const LONGEST: u64 = 4_096;

/// The token, cached. It is never logged: `Debug` hides it.
#[derive(Debug)]
pub struct TokenStore {
    path: PathBuf,
    cached: Mutex<Option<Secret>>,
}

impl TokenStore {
    /// The store below `configs_dir`, with what is there now.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn open(configs_dir: &Path) -> io::Result<Self> {
        let path = configs_dir.join(FILE);
        let cached = Mutex::new(read(&path)?);
        Ok(Self { path, cached })
    }

    /// The token as it was last read or saved.
    #[must_use]
    pub fn token(&self) -> Option<Secret> {
        self.cached.lock().clone()
    }

    /// Reads the file again after `used` was refused. True if the token is another one
    /// now: of the file, or one that was saved meanwhile.
    ///
    /// # Errors
    /// When the file is there and cannot be read; the cached token stays.
    pub fn refresh(&self, used: Option<&Secret>) -> io::Result<bool> {
        let read = read(&self.path)?;
        let mut cached = self.cached.lock();
        if read.is_some() {
            *cached = read;
        }
        Ok(cached.as_ref() != used)
    }

    /// Keeps a token that the platform gave: on disk first, whole or not at all, then
    /// in the cache.
    ///
    /// # Errors
    /// When the file cannot be written; the cache has the token all the same, since
    /// the platform gives it once.
    pub fn save(&self, token: &str) -> io::Result<()> {
        let written = durable::replace(&self.path, token.as_bytes());
        *self.cached.lock() = Some(Secret::new(token));
        written
    }
}

fn read(path: &Path) -> io::Result<Option<Secret>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        Ok(file) if file.len() > LONGEST => {
            let problem = format!("{} is too long to be a token", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        Ok(_) => {}
    }
    let text = fs::read_to_string(path)?;
    let token = text.trim();
    Ok((!token.is_empty()).then(|| Secret::new(token)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn text(store: &TokenStore) -> Option<String> {
        store.token().map(|token| token.expose().to_owned())
    }

    #[test]
    fn a_saved_token_is_its_owners_alone_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = TokenStore::open(&folder.path().join("new")).unwrap();
        assert_eq!(text(&store), None);
        store.save("first").unwrap();
        store.save("second").unwrap();
        let path = folder.path().join("new").join(FILE);
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap(), "second");
        let again = TokenStore::open(&folder.path().join("new")).unwrap();
        assert_eq!(text(&again).as_deref(), Some("second"));
        let left: Vec<_> = fs::read_dir(folder.path().join("new")).unwrap().collect();
        assert_eq!(left.len(), 1, "no temporary file is left");
    }

    #[test]
    fn refresh_sees_what_somebody_else_wrote_and_keeps_what_was_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        fs::write(&path, "old\n").unwrap();
        let store = TokenStore::open(folder.path()).unwrap();
        let old = store.token();
        assert!(!store.refresh(old.as_ref()).unwrap());
        fs::write(&path, "new\n").unwrap();
        assert_eq!(text(&store).as_deref(), Some("old"), "cached");
        assert!(store.refresh(old.as_ref()).unwrap());
        assert_eq!(text(&store).as_deref(), Some("new"));
        let new = store.token();
        fs::remove_file(&path).unwrap();
        assert!(!store.refresh(new.as_ref()).unwrap());
        assert!(store.refresh(None).unwrap(), "one was saved since");
        assert_eq!(text(&store).as_deref(), Some("new"));
        assert!(!format!("{store:?}").contains("new"));
    }
}
