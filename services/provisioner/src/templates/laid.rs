//! What people wrote, laid over what a template has.

use std::collections::HashSet;

use candor_kernel::{Error, WorkspaceId};
use chrono::{DateTime, Utc};

use crate::app::App;
use crate::backend::ConfigFile;
use crate::store::files::{self, Stored};
use crate::store::{Store, files::lock};

/// For which instance files are laid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct For {
    /// Its epoch.
    pub epoch: i64,
    /// Where it runs nothing of what people wrote is yet.
    pub everything: bool,
    /// The template was asked for then: it replaces what was written before.
    pub asked_at: Option<DateTime<Utc>>,
}

/// The files of the instance: those of the template, and over them what people wrote and
/// no instance was given yet. What is laid, and what the template replaces, is noted for
/// when the instance was started ([`files::started`]).
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub(crate) async fn lay_stored(
    app: &App,
    workspace: WorkspaceId,
    template: Vec<ConfigFile>,
    laid_for: For,
) -> Result<Vec<ConfigFile>, Error> {
    let mut tx = app.store.begin().await?;
    lock(&mut tx, workspace).await?;
    let everything = laid_for.everything || laid_for.asked_at.is_some();
    let stored = files::stored(&mut tx, workspace, everything).await?;
    let laid = Laid::of(template, stored, laid_for);
    let (epoch, given) = (laid_for.epoch, &laid.given);
    files::mark(&mut tx, workspace, epoch, given, &laid.replaced).await?;
    Store::commit(tx).await?;
    Ok(laid.files)
}

#[derive(Debug, Default)]
struct Laid {
    files: Vec<ConfigFile>,
    /// Paths of what people wrote.
    given: Vec<String>,
    replaced: Vec<String>,
}

impl Laid {
    fn of(template: Vec<ConfigFile>, stored: Vec<Stored>, laid_for: For) -> Self {
        let mut laid = Self::default();
        let mut written = Vec::new();
        let of_template = Paths::of(template.iter().map(ConfigFile::path));
        for one in stored {
            let clashes = of_template.clash_with(&one.path);
            match laid_for.asked_at {
                Some(asked) if clashes && one.updated_at <= asked => {
                    laid.replaced.push(one.path);
                    continue;
                }
                // It was there before the template's comes over it.
                Some(_) if clashes => {}
                _ if one.fresh || laid_for.everything => {}
                _ => continue,
            }
            // Paths were checked when they were written.
            if let Ok(file) = ConfigFile::new(one.path.clone(), one.content) {
                laid.given.push(one.path);
                written.push(file);
            }
        }
        let of_people = Paths::of(laid.given.iter().map(String::as_str));
        let template = template.into_iter();
        laid.files
            .extend(template.filter(|file| !of_people.clash_with(file.path())));
        laid.files.extend(written);
        laid
    }
}

/// Paths of files, and of the folders that they are in.
struct Paths {
    files: HashSet<String>,
    folders: HashSet<String>,
}

impl Paths {
    fn of<'a>(paths: impl Iterator<Item = &'a str>) -> Self {
        let files: HashSet<String> = paths.map(str::to_owned).collect();
        let folders = files.iter().flat_map(|path| above(path));
        Self {
            folders: folders.map(str::to_owned).collect(),
            files,
        }
    }

    /// Whether a file cannot be beside them: it is one, or a folder of one, or below one.
    fn clash_with(&self, path: &str) -> bool {
        self.files.contains(path)
            || self.folders.contains(path)
            || above(path).any(|folder| self.files.contains(folder))
    }
}

/// The folders that a path is in.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn template(paths: &[&str]) -> Vec<ConfigFile> {
        let files = paths.iter();
        files
            .map(|path| ConfigFile::new(*path, "template").unwrap())
            .collect()
    }

    fn stored(path: &str, fresh: bool, at: i64) -> Stored {
        Stored {
            path: path.to_owned(),
            content: b"people".to_vec(),
            fresh,
            updated_at: DateTime::from_timestamp(at, 0).unwrap(),
        }
    }

    /// What is handed over, by path, and what is replaced.
    fn laid(
        template: Vec<ConfigFile>,
        stored: Vec<Stored>,
        laid_for: For,
    ) -> (Vec<String>, Vec<String>) {
        let laid = Laid::of(template, stored, laid_for);
        let files = laid.files.iter().map(|file| {
            let content = String::from_utf8_lossy(&file.content);
            format!("{} of {content}", file.path())
        });
        (files.collect(), laid.replaced)
    }

    const LATER: For = For {
        epoch: 2,
        everything: false,
        asked_at: None,
    };

    #[test]
    fn what_an_instance_has_is_its_own_to_change() {
        let all = vec![stored("had", false, 1), stored("new", true, 1)];
        let (files, replaced) = laid(Vec::new(), all.clone(), LATER);
        assert_eq!(
            (files, replaced),
            (vec!["new of people".to_owned()], vec![])
        );
        let first = For {
            everything: true,
            ..LATER
        };
        let (files, _) = laid(template(&["had", "t"]), all, first);
        assert_eq!(files, ["t of template", "had of people", "new of people"]);
    }

    #[test]
    fn a_template_that_was_asked_for_replaces_what_was_written_before() {
        let asked = For {
            asked_at: DateTime::from_timestamp(10, 0),
            ..LATER
        };
        let all = vec![
            stored("a", true, 10),
            stored("b", false, 11),
            stored("c/inner", true, 1),
            stored("kept", false, 1),
            stored("other", true, 1),
        ];
        let (files, replaced) = laid(template(&["a", "b", "c"]), all, asked);
        let expected = [
            "a of template",
            "c of template",
            "b of people",
            "other of people",
        ];
        assert_eq!(files, expected);
        assert_eq!(replaced, ["a", "c/inner"]);
    }

    #[test]
    fn no_file_of_a_template_stands_where_people_want_a_folder() {
        let all = vec![stored("a/b", true, 1), stored("c", true, 1)];
        let (files, _) = laid(template(&["a", "a-b", "c/d", "c/e/f"]), all, LATER);
        assert_eq!(files, ["a-b of template", "a/b of people", "c of people"]);
    }
}
