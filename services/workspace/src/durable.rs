//! Files that must be there after a crash.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::NamedTempFile;

/// Readable by its owner alone.
const MODE: u32 = 0o600;

/// Replaces a file, whole or not at all; its folder is made if it is not there. When
/// this returns, the file is there after a crash as well. It is its owner's alone, and
/// was never more than that.
///
/// # Errors
/// What the file system said; then the old file is as it was.
pub(crate) fn replace(file: &Path, content: &[u8]) -> io::Result<()> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    let mut whole = NamedTempFile::new_in(folder)?;
    whole
        .as_file()
        .set_permissions(Permissions::from_mode(MODE))?;
    whole.write_all(content)?;
    whole.as_file().sync_all()?;
    whole.persist(file)?;
    File::open(folder)?.sync_all()
}
