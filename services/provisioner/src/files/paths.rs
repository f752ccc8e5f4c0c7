//! Paths of files below a workspace's folders, and lists of them.

use std::collections::BTreeMap;

use candor_kernel::{Error, Reason};

use crate::backend::{ConfigFile, FileEntry, Root};
use crate::walk::is_shown;

/// The token's name below `/configs`.
const TOKEN: &str = ".auth_token";

/// A path below a root: it is not empty, and leads nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path(String);

impl Path {
    /// Reads one.
    ///
    /// # Errors
    /// `invalid path`, as the legacy platform says it; also for any `..` in a name.
    pub fn read(given: &str) -> Result<Self, Error> {
        let invalid = || Error::field("path", "invalid path");
        if given.starts_with('/') || given.contains("..") {
            return Err(invalid());
        }
        let parts = given.split('/');
        let parts: Vec<&str> = parts.filter(|part| !matches!(*part, "" | ".")).collect();
        let path = parts.join("/");
        // The rules for what an instance is given hold for everything.
        ConfigFile::new(path.clone(), "").map_err(|_| invalid())?;
        Ok(Self(path))
    }

    /// The same for what is read or written there.
    ///
    /// # Errors
    /// As [`Path::read`]; `NOT_ALLOWED` for the token.
    pub fn of_file(root: Root, given: &str) -> Result<Self, Error> {
        let path = Self::read(given)?;
        if root == Root::Configs && path.0.split('/').next() == Some(TOKEN) {
            return Err(Error::new(
                Reason::NotAllowed,
                ".auth_token is neither shown nor written here",
            ));
        }
        Ok(path)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As text, to be kept.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// A root by its name; `/configs` if none is named.
///
/// # Errors
/// A field error that names them all.
pub(crate) fn root(name: &str) -> Result<Root, Error> {
    if name.is_empty() {
        return Ok(Root::Configs);
    }
    let mut all = Root::ALL.into_iter();
    all.find(|root| root.path() == name).ok_or_else(|| {
        Error::field(
            "root",
            "root must be one of: /configs, /workspace, /home, /plugins",
        )
    })
}

/// What a list shows of files below a folder, so many folders deep: each folder before
/// what is in it, by name.
pub(super) fn listed<'a>(
    files: impl IntoIterator<Item = (&'a str, u64)>,
    below: &str,
    depth: usize,
) -> Vec<FileEntry> {
    let mut found: BTreeMap<Vec<&str>, Option<u64>> = BTreeMap::new();
    for (path, size) in files {
        let path = match below {
            "" => Some(path),
            below => path
                .strip_prefix(below)
                .and_then(|path| path.strip_prefix('/')),
        };
        let Some(path) = path else { continue };
        let parts: Vec<&str> = path.split('/').collect();
        if !parts.iter().all(|part| is_shown(part)) {
            continue;
        }
        for end in 1..=parts.len().min(depth) {
            let size = (end == parts.len()).then_some(size);
            found.insert(parts[..end].to_vec(), size);
        }
    }
    let found = found.into_iter();
    found
        .map(|(parts, size)| FileEntry {
            path: parts.join("/"),
            size: size.unwrap_or_default(),
            is_folder: size.is_none(),
        })
        .collect()
}

/// Why files cannot be kept beside those that are: one would be a folder and a file.
pub(super) fn clash<'a>(kept: &[&'a str], new: &[&'a str]) -> Option<&'a str> {
    let is_below = |inner: &str, outer: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    let mut all: Vec<&str> = kept.iter().chain(new).copied().collect();
    all.sort_unstable();
    all.dedup();
    new.iter().copied().find(|one| {
        // What is below it follows it, but for names that sort between.
        all.iter()
            .any(|other| is_below(other, one) || is_below(one, other))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_the_legacy_platforms() {
        for (given, path) in [
            ("a", "a"),
            ("a/b.md", "a/b.md"),
            ("./a//b/", "a/b"),
            (".x", ".x"),
        ] {
            assert_eq!(Path::read(given).unwrap().as_str(), path);
        }
        for bad in [
            "",
            ".",
            "./",
            "/",
            "/a",
            "..",
            "a..b",
            "a/../b",
            "a\\b",
            "a\0b",
            &"a".repeat(600),
        ] {
            let error = Path::read(bad).unwrap_err();
            assert_eq!(error.public(), "invalid path", "{bad:?}");
        }
        for token in [
            ".auth_token",
            "./.auth_token",
            ".auth_token/x",
            "//.auth_token",
        ] {
            let error = Path::of_file(Root::Configs, token.trim_start_matches("//"));
            assert_eq!(error.unwrap_err().reason(), Reason::NotAllowed, "{token}");
        }
        assert!(Path::of_file(Root::Workspace, ".auth_token").is_ok());
    }

    #[test]
    fn lists_are_in_the_order_of_a_walk() {
        let files = [
            ("a-b", 1),
            ("a/x", 2),
            ("a/d/y", 3),
            (".git/config", 4),
            ("z", 5),
        ];
        let shown = |below: &str, depth| -> Vec<(String, u64, bool)> {
            let entries = listed(files, below, depth);
            let entries = entries.into_iter();
            entries.map(|e| (e.path, e.size, e.is_folder)).collect()
        };
        let file = |path: &str, size| (path.to_owned(), size, false);
        let folder = |path: &str| (path.to_owned(), 0, true);
        assert_eq!(shown("", 1), [folder("a"), file("a-b", 1), file("z", 5)]);
        assert_eq!(
            shown("", 3),
            [
                folder("a"),
                folder("a/d"),
                file("a/d/y", 3),
                file("a/x", 2),
                file("a-b", 1),
                file("z", 5)
            ]
        );
        assert_eq!(shown("a", 1), [folder("d"), file("x", 2)]);
        assert_eq!(shown("none", 5), []);
    }

    #[test]
    fn what_is_a_file_is_no_folder() {
        assert_eq!(clash(&["a", "b/c"], &["d", "b/d"]), None);
        assert_eq!(clash(&["a"], &["a"]), None);
        assert_eq!(clash(&["a"], &["x", "a/b"]), Some("a/b"));
        assert_eq!(clash(&["b/c"], &["b"]), Some("b"));
        assert_eq!(clash(&[], &["b", "b/c"]), Some("b"));
    }

    proptest! {
        #[test]
        fn no_path_leads_elsewhere(given in prop_oneof![any::<String>(), "[./a\\\\]{0,12}", "[./]{0,3}[.]auth_token[./]{0,3}"]) {
            if let Ok(path) = Path::of_file(Root::Configs, &given) {
                let joined = std::path::Path::new("/root").join(path.as_str());
                prop_assert!(joined.components().all(|part| !matches!(
                    part,
                    std::path::Component::ParentDir | std::path::Component::CurDir
                )));
                prop_assert!(joined.starts_with("/root") && joined.as_os_str() != "/root");
                prop_assert!(!path.as_str().starts_with(".auth_token/") && path.as_str() != ".auth_token");
            }
        }
    }
}
