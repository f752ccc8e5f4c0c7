//! Trees of files that somebody else writes, read within bounds: no link is followed,
//! and what is more than may be read is an error, never cut.

use std::io;

use crate::backend::FileEntry;
use crate::folder::Folder;

/// What no list of files shows, and what is not taken from a template.
const LEFT_OUT: [&str; 4] = [".git", "__pycache__", "node_modules", ".DS_Store"];

/// How much of a tree is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Folders below each other; 1 is what is in the folder itself.
    pub depth: usize,
    /// Files and folders together.
    pub entries: usize,
}

/// Whether a list shows what has this name.
pub(crate) fn is_shown(name: &str) -> bool {
    !LEFT_OUT.contains(&name)
}

/// What is in a folder, each folder before what is in it, by name.
///
/// # Errors
/// The operating system's; `InvalidData` if there is more than the bounds allow.
pub(crate) fn tree(top: &Folder, bounds: Bounds) -> io::Result<Vec<FileEntry>> {
    let mut found = Vec::new();
    into(top, "", bounds.depth, bounds, &mut found)?;
    Ok(found)
}

fn into(
    folder: &Folder,
    prefix: &str,
    depth: usize,
    bounds: Bounds,
    found: &mut Vec<FileEntry>,
) -> io::Result<()> {
    for (name, size) in folder.entries(bounds.entries)? {
        if !is_shown(&name) {
            continue;
        }
        if found.len() == bounds.entries {
            let problem = format!("more than {} files and folders", bounds.entries);
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        let path = format!("{prefix}{name}");
        found.push(FileEntry {
            path: path.clone(),
            size: size.unwrap_or_default(),
            is_folder: size.is_none(),
        });
        if size.is_none() && depth > 1 {
            match folder.folder(&name) {
                Ok(inner) => into(&inner, &format!("{path}/"), depth - 1, bounds, found)?,
                // It went meanwhile, or became something else, or is not for us.
                Err(error) if is_elsewhere(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// The folder at a path below another one; nothing if there is none, or a link is on the
/// way.
///
/// # Errors
/// The operating system's.
pub(crate) fn below(top: Folder, path: &str) -> io::Result<Option<Folder>> {
    let mut folder = top;
    for part in path.split('/').filter(|part| !part.is_empty()) {
        folder = match folder.folder(part) {
            Ok(inner) => inner,
            Err(error) if is_elsewhere(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
    }
    Ok(Some(folder))
}

/// The content of a plain file at a path below a folder, of at most so many bytes.
///
/// # Errors
/// The operating system's; `InvalidData` if it is longer.
pub(crate) fn file(top: Folder, path: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
    let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
    match below(top, above)? {
        Some(folder) => folder.read(name, most),
        None => Ok(None),
    }
}

/// There is no such folder, or it is none.
pub(crate) fn is_elsewhere(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidFilename
    )
}
