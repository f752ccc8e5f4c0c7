//! Whether files fit beside what an instance is given already.

use std::collections::HashSet;

use candor_kernel::Error;

use super::paths::clash;
use super::{MOST_KEPT, MOST_KEPT_BYTES};

/// What is there beside new files.
#[derive(Debug, Clone, Default)]
pub(super) struct Beside {
    /// Paths and lengths of what people wrote.
    pub kept: Vec<(String, i64)>,
    /// The same of what an instance is made from.
    pub template: Vec<(String, u64)>,
    /// Bytes of its environment.
    pub environment: u64,
    /// Bytes of all of it that its backend gives to an instance.
    pub most: u64,
}

impl Beside {
    /// Whether files of these paths and lengths fit.
    ///
    /// # Errors
    /// A field error, in words that people read.
    pub fn has_room_for(&self, new: &[(&str, usize)]) -> Result<(), Error> {
        let paths: HashSet<&str> = new.iter().map(|(path, _)| *path).collect();
        let staying = self.kept.iter();
        let staying: Vec<_> = staying
            .filter(|(path, _)| !paths.contains(path.as_str()))
            .collect();
        let new_bytes: usize = new.iter().map(|(_, bytes)| bytes).sum();
        let new_bytes = i64::try_from(new_bytes).unwrap_or(i64::MAX);
        let bytes: i64 = staying.iter().map(|(_, bytes)| bytes).sum();
        let bytes = bytes.saturating_add(new_bytes);
        if bytes > MOST_KEPT_BYTES || staying.len() + new.len() > MOST_KEPT {
            return Err(Error::field(
                "files",
                format!(
                    "the files of a workspace are at most {MOST_KEPT}, and {MOST_KEPT_BYTES} bytes together"
                ),
            ));
        }
        let staying: Vec<&str> = staying.iter().map(|(path, _)| path.as_str()).collect();
        self.is_given(&staying, &paths, u64::try_from(bytes).unwrap_or_default())?;
        let new: Vec<&str> = new.iter().map(|(path, _)| *path).collect();
        match clash(&staying, &new) {
            None => Ok(()),
            Some(path) => Err(Error::field(
                "path",
                format!("failed to write file: {path} would be a file and a folder"),
            )),
        }
    }

    /// Whether the backend gives an instance so much: it could not be started otherwise.
    fn is_given(&self, staying: &[&str], new: &HashSet<&str>, bytes: u64) -> Result<(), Error> {
        let staying: HashSet<&str> = staying.iter().copied().collect();
        let is_covered = |path: &str| staying.contains(path) || new.contains(path);
        let template = self.template.iter();
        let template = template.filter(|(path, _)| !is_covered(path));
        let template: u64 = template.map(|(_, bytes)| bytes).sum();
        let all = bytes
            .saturating_add(template)
            .saturating_add(self.environment);
        if all > self.most {
            return Err(Error::field(
                "files",
                format!(
                    "the files and the environment of the workspace would be {all} bytes, and its backend gives an instance {}: put what is large below /workspace",
                    self.most
                ),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_the_backend_would_not_give_is_not_kept() {
        let beside = Beside {
            kept: vec![("a".to_owned(), 400)],
            template: vec![("a".to_owned(), 5000), ("t".to_owned(), 300)],
            environment: 100,
            most: 1000,
        };
        assert!(beside.has_room_for(&[("new", 200)]).is_ok());
        assert!(beside.has_room_for(&[("a", 600)]).is_ok());
        assert!(beside.has_room_for(&[("t", 500)]).is_ok());
        let refusal = beside.has_room_for(&[("new", 201)]).unwrap_err();
        assert!(refusal.public().contains("1001 bytes"), "{refusal}");
        let clash = beside.has_room_for(&[("a/b", 1)]).unwrap_err();
        assert!(clash.public().contains("a file and a folder"), "{clash}");
    }
}
