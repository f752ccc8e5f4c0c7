//! The state's file: whole or not at all, whenever the process ends.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::state::State;
use crate::durable;

/// Below `CONFIGS_DIR`.
const FOLDER: &str = ".candor";
const NAME: &str = "inbox.json";
/// What is longer was not written here; in bytes.
const LONGEST: u64 = 4 * 1024 * 1024;

/// Where the state is kept.
#[derive(Debug, Clone)]
pub(super) struct StateFile {
    folder: PathBuf,
}

impl StateFile {
    /// The file below `configs_dir`; its folder is made if it is not there.
    pub(super) fn below(configs_dir: &Path) -> io::Result<Self> {
        let folder = configs_dir.join(FOLDER);
        fs::create_dir_all(&folder)?;
        File::open(configs_dir)?.sync_all()?;
        Ok(Self { folder })
    }

    /// What was written last; nothing before the first time. A file that cannot be
    /// understood is a state that knows nothing: what can still be read is told again.
    pub(super) fn read(&self) -> io::Result<Option<State>> {
        let path = self.folder.join(NAME);
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
            Ok(file) if file.len() > LONGEST => {
                tracing::warn!(path = %path.display(), "too long to be the inbox's state: ignored");
                return Ok(Some(State::default()));
            }
            Ok(_) => {}
        }
        let state = serde_json::from_slice(&fs::read(&path)?).unwrap_or_else(|error| {
            tracing::warn!(%error, path = %path.display(), "not the inbox's state: ignored");
            State::default()
        });
        Ok(Some(state))
    }

    /// Writes it down; when this returns, it is there after a crash as well.
    pub(super) fn write(&self, state: &State) -> io::Result<()> {
        durable::replace(&self.folder.join(NAME), &serde_json::to_vec(state)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_was_written_is_read_again_and_rubbish_is_a_state_that_knows_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::below(folder.path()).unwrap();
        assert_eq!(file.read().unwrap(), None);
        let state = State {
            cursor: Some("row".to_owned()),
            unnamed: 3,
            ..State::default()
        };
        file.write(&state).unwrap();
        assert_eq!(file.read().unwrap(), Some(state));
        let entries = fs::read_dir(folder.path().join(FOLDER)).unwrap().count();
        assert_eq!(entries, 1, "no temporary file is left");
        fs::write(folder.path().join(FOLDER).join(NAME), "{\"cursor\"").unwrap();
        assert_eq!(file.read().unwrap(), Some(State::default()));
    }
}
