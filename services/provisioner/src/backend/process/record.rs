//! What is noted of an instance, so that any platform of the installation finds it.

use std::io;

use candor_kernel::Epoch;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::proc::Identity;
use crate::folder::Folder;

/// Longest note, in bytes.
const LONGEST: u64 = 64 * 1024;

/// A kind of note, in a file of its own: whoever writes one does not touch the others.
pub(super) trait Note: Serialize + DeserializeOwned {
    /// The file's name.
    const FILE: &'static str;
}

/// Which instance was started; noted before it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Started {
    /// Its number.
    pub(super) epoch: Epoch,
    /// Its first process; none if the platform was killed before it could be noted.
    pub(super) process: Option<Identity>,
    /// Where it answers, once it said so.
    pub(super) url: Option<String>,
}

/// How it ended, as its parent saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ended {
    /// Which process.
    pub(super) process: Identity,
    /// How, for people.
    pub(super) how: String,
}

/// Whose configuration and token were written last, whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Written {
    /// The instance's number.
    pub(super) epoch: Epoch,
}

/// Whose the place is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owner {
    /// The installation.
    pub(super) installation: String,
}

impl Note for Started {
    const FILE: &'static str = "instance.json";
}

impl Note for Ended {
    const FILE: &'static str = "end.json";
}

impl Note for Written {
    const FILE: &'static str = "written.json";
}

impl Note for Owner {
    const FILE: &'static str = "owner.json";
}

/// What is noted; nothing if there is no note.
///
/// # Errors
/// The operating system's; `InvalidData` if it cannot be read as a note.
pub(super) fn read<N: Note>(folder: &Folder) -> io::Result<Option<N>> {
    let Some(text) = folder.read(N::FILE, LONGEST)? else {
        return Ok(None);
    };
    let note = serde_json::from_slice(&text)
        .map_err(|problem| io::Error::new(io::ErrorKind::InvalidData, problem))?;
    Ok(Some(note))
}

/// Notes it.
///
/// # Errors
/// The operating system's.
pub(super) fn write<N: Note>(folder: &Folder, note: &N) -> io::Result<()> {
    let text = serde_json::to_vec(note)?;
    folder.write(N::FILE, &text, 0o600, folder)
}

/// Forgets it.
///
/// # Errors
/// The operating system's.
pub(super) fn forget<N: Note>(folder: &Folder) -> io::Result<()> {
    folder.remove(N::FILE)
}
