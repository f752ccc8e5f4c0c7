//! Which conversation the agent is in: an id that the CLI gave, kept in a file.

use std::fs;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::durable;

/// Longest id, in characters; the CLI's are UUIDs.
const LONGEST: usize = 128;

/// The session.
#[derive(Debug)]
pub(super) struct Session {
    file: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Of the last turn that was heard to its end.
    known: Option<String>,
    /// Of the turn that runs, or was the last one to run.
    current: Option<String>,
}

impl Session {
    /// The session that is in the file, if one is.
    pub(super) fn open(file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap_or_default();
        let known = valid(text.trim());
        Self {
            file: file.to_owned(),
            state: Mutex::new(State {
                current: known.clone(),
                known,
            }),
        }
    }

    /// What a turn goes on with.
    pub(super) fn known(&self) -> Option<String> {
        self.state.lock().known.clone()
    }

    /// What a transcript is of.
    pub(super) fn current(&self) -> Option<String> {
        self.state.lock().current.clone()
    }

    /// A turn runs in it.
    pub(super) fn begun(&self, id: &str) {
        if let Some(id) = valid(id) {
            self.state.lock().current = Some(id);
        }
    }

    /// A turn was heard to its end in it: the next one goes on there.
    pub(super) fn keep(&self, id: &str) {
        let Some(id) = valid(id) else {
            return;
        };
        let mut state = self.state.lock();
        if state.known.as_ref() == Some(&id) {
            return;
        }
        if let Err(error) = durable::replace(&self.file, id.as_bytes()) {
            tracing::warn!(%error, "the session's id is not kept: a new process starts anew");
        }
        state.known = Some(id.clone());
        state.current = Some(id);
    }

    /// The CLI does not know it.
    pub(super) fn forget(&self) {
        *self.state.lock() = State::default();
        fs::remove_file(&self.file).ok();
    }
}

/// An id that may stand in an argument and in a file's name.
fn valid(id: &str) -> Option<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let good = (1..=LONGEST).contains(&id.len()) && !id.starts_with('-') && id.bytes().all(fits);
    good.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_outlives_the_process_and_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sub/session");
        let session = Session::open(&file);
        assert_eq!(session.known(), None);
        session.begun("one");
        assert_eq!(
            (session.known(), session.current()),
            (None, Some("one".into()))
        );
        session.keep("two");
        let again = Session::open(&file);
        assert_eq!(again.known().as_deref(), Some("two"));
        again.forget();
        assert_eq!(Session::open(&file).known(), None);
    }

    #[test]
    fn what_is_no_id_is_none() {
        for id in ["", "--model", "../other", "a b", &"x".repeat(129)] {
            assert_eq!(valid(id), None, "{id}");
        }
    }
}
