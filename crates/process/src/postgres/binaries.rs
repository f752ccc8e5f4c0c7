//! Where `initdb` and `postgres` are.

use std::fs;
use std::path::{Path, PathBuf};

use super::PostgresError;

/// Where the distributions put each major version: Debian and Ubuntu, Fedora's
/// and the project's own packages, Homebrew.
const VERSIONED_ROOTS: &[(&str, &str)] = &[
    ("/usr/lib/postgresql", "bin"),
    ("/usr", "bin"),
    ("/opt/homebrew/opt", "bin"),
];

/// A folder with the server's programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    directory: PathBuf,
}

impl Binaries {
    /// Finds the programs: the given folder, else `PATH`, else the newest of the
    /// usual places. With `version`, only that major
    /// version will do: a cluster is bound to the one that created it.
    ///
    /// # Errors
    /// [`PostgresError::NoBinaries`] says what to install.
    pub fn find(given: Option<&Path>, version: Option<&str>) -> Result<Self, PostgresError> {
        let candidates = given.map_or_else(search, |directory| vec![directory.to_path_buf()]);
        candidates
            .iter()
            .filter(|directory| {
                directory.join("initdb").is_file() && directory.join("postgres").is_file()
            })
            .find(|directory| {
                version.is_none_or(|version| major(directory).as_deref() == Some(version))
            })
            .map(|directory| Self {
                directory: directory.clone(),
            })
            .ok_or_else(|| PostgresError::NoBinaries {
                version: version.map(str::to_owned),
                looked_in: candidates
                    .iter()
                    .map(|directory| directory.display().to_string())
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.directory.join("initdb")
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.directory.join("postgres")
    }
}

fn search() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for (root, bin) in VERSIONED_ROOTS {
        let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(root)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                Some((
                    major_in_name(entry.file_name().to_str()?)?,
                    entry.path().join(bin),
                ))
            })
            .collect();
        versions.sort_by(|a, b| b.cmp(a));
        candidates.extend(versions.into_iter().map(|(_, directory)| directory));
    }
    candidates
}

/// `15`, `pgsql-16` and `postgresql@17` are versions; nothing else is.
fn major_in_name(name: &str) -> Option<u32> {
    name.trim_start_matches("pgsql-")
        .trim_start_matches("postgresql@")
        .parse()
        .ok()
}

/// The major version that `postgres --version` says.
fn major(directory: &Path) -> Option<String> {
    let output = std::process::Command::new(directory.join("postgres"))
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let number = text
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let end = number
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(number.len());
    number.get(..end).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn missing_binaries_say_what_to_install() {
        let empty = tempfile::tempdir().unwrap();
        let refusal = Binaries::find(Some(empty.path()), None)
            .unwrap_err()
            .to_string();
        assert!(refusal.contains("apt-get install postgresql`"), "{refusal}");
        assert!(refusal.contains("--database-url"), "{refusal}");
        assert!(
            refusal.contains(&empty.path().display().to_string()),
            "{refusal}"
        );
    }

    #[test]
    fn a_cluster_of_another_version_names_that_version() {
        let refusal = Binaries::find(None, Some("7")).unwrap_err().to_string();
        assert!(refusal.contains("no PostgreSQL 7 "), "{refusal}");
        assert!(refusal.contains("postgresql-7`"), "{refusal}");
    }

    #[test]
    fn versions_are_read_from_folder_names() {
        assert_eq!(major_in_name("15"), Some(15));
        assert_eq!(major_in_name("pgsql-16"), Some(16));
        assert_eq!(major_in_name("lib"), None);
    }
}
