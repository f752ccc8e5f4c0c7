//! Which user Postgres runs as: it refuses to run as root.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use nix::unistd::{User, geteuid};
use tokio::process::Command;

use super::PostgresError;

/// The users to run as when Candor itself is root, the first that exists.
const CANDIDATES: &[&str] = &["postgres", "nobody"];

/// The user that owns the cluster and runs the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Whom to become; nobody else if Candor is not root.
    become_user: Option<(String, u32, u32)>,
}

impl Account {
    /// The invoking user, or an unprivileged one if that is root.
    ///
    /// # Errors
    /// [`PostgresError::NoAccount`] if root has nobody to become.
    pub fn choose() -> Result<Self, PostgresError> {
        if !geteuid().is_root() {
            return Ok(Self { become_user: None });
        }
        CANDIDATES
            .iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .map(|user| Self {
                become_user: Some((user.name, user.uid.as_raw(), user.gid.as_raw())),
            })
            .ok_or(PostgresError::NoAccount)
    }

    /// Makes the command run as this user, without supplementary groups.
    pub(super) fn run(&self, command: &mut Command) {
        if let Some((_, uid, gid)) = &self.become_user {
            command.uid(*uid).gid(*gid);
        }
    }

    /// Gives a file or directory to this user.
    pub(super) fn own(&self, path: &Path) -> Result<(), PostgresError> {
        let Some((_, uid, gid)) = &self.become_user else {
            return Ok(());
        };
        chown(path, Some(*uid), Some(*gid)).map_err(|problem| refused(path, problem))
    }

    /// Checks that this user can enter `data_dir`. The data directory itself is
    /// ours, so it is opened for traversal; its parents are not.
    pub(super) fn check_traversable(&self, data_dir: &Path) -> Result<(), PostgresError> {
        let Some((user, uid, gid)) = &self.become_user else {
            return Ok(());
        };
        for directory in data_dir.ancestors() {
            let metadata =
                fs::metadata(directory).map_err(|problem| refused(directory, problem))?;
            let mode = metadata.mode();
            let enters = if metadata.uid() == *uid {
                mode & 0o100 != 0
            } else if metadata.gid() == *gid {
                mode & 0o010 != 0
            } else {
                mode & 0o001 != 0
            };
            if enters {
                continue;
            }
            if directory == data_dir {
                tracing::info!(directory = %directory.display(), %user, "opened the data directory for traversal (o+x)");
                fs::set_permissions(
                    directory,
                    fs::Permissions::from_mode((mode & 0o7777) | 0o011),
                )
                .map_err(|problem| refused(directory, problem))?;
            } else {
                return Err(PostgresError::NotTraversable {
                    user: user.clone(),
                    directory: directory.into(),
                });
            }
        }
        Ok(())
    }
}

fn refused(path: &Path, problem: std::io::Error) -> PostgresError {
    PostgresError::Io {
        path: path.into(),
        problem,
    }
}
