//! Templates: folders that an operator puts beside each other, each with what the
//! instances of a workspace read below `/configs` (contract/neighbours.md, "Templates").
//!
//! The folder may be a link; inside of it none is followed. What is read is bounded
//! ([`MOST_FILES`], [`MOST_BYTES`]); a template that is larger is refused, not cut.

mod choice;
mod configured;
mod declared;
mod generated;
mod laid;
mod required;

use std::io;
use std::path::PathBuf;

pub(crate) use choice::choose_template;
pub(crate) use configured::{files_for, of_instance, required_env};
use declared::run_by;
pub(crate) use declared::{Declared, SubWorkspace};
pub(crate) use laid::{For, lay_stored};
pub(crate) use required::missing_env;

use candor_kernel::{Error, Reason};

use crate::app::App;
use crate::backend::{BackendError, ConfigFile};
use crate::folder::Folder;
use crate::walk::{self, Bounds};

/// The file that makes a folder a template.
pub(crate) const CONFIG: &str = "config.yaml";
/// The token's name: no template may bring one.
const TOKEN: &str = ".auth_token";
/// Templates that are looked at.
const MOST_TEMPLATES: usize = 2000;
/// Longest `config.yaml`, in bytes.
const LONGEST_CONFIG: u64 = 1024 * 1024;
/// Files and folders of a template.
const MOST_FILES: usize = 2000;
/// Bytes of a template.
const MOST_BYTES: u64 = 8 * 1024 * 1024;
/// How far a template is read.
const BOUNDS: Bounds = Bounds {
    depth: 16,
    entries: MOST_FILES,
};

/// The folder of templates, if there is one. Everything here may block, and says so where
/// it cannot tell: [`BackendError::Refused`] if there is too much, else
/// [`BackendError::Unavailable`].
#[derive(Debug, Clone)]
pub(crate) struct Templates(Option<PathBuf>);

impl Templates {
    /// As the operator named it.
    pub fn of(app: &App) -> Self {
        Self(app.config.templates.clone())
    }

    /// Every template that can be read, by the name of its folder.
    ///
    /// # Errors
    /// As said above.
    pub fn list(&self) -> Result<Vec<(String, Declared)>, BackendError> {
        Ok(self.below("")?.unwrap_or_default())
    }

    /// Whether there is a template of this name.
    ///
    /// # Errors
    /// As said above.
    pub fn has(&self, name: &str) -> Result<bool, BackendError> {
        Ok(self.find(name)?.is_some())
    }

    /// What a template declares; nothing if there is none, or its file is broken.
    ///
    /// # Errors
    /// As said above.
    pub fn declared(&self, name: &str) -> Result<Option<Declared>, BackendError> {
        let found = self.find(name)?;
        Ok(found.and_then(|template| declared(&template)))
    }

    /// What a template runs, of a file that may be broken elsewhere (as
    /// [`declared::run_by`]).
    ///
    /// # Errors
    /// As said above.
    pub fn run_by(&self, name: &str) -> Result<(String, String), BackendError> {
        let Some(template) = self.find(name)? else {
            return Ok(Default::default());
        };
        let yaml = template.read(CONFIG, LONGEST_CONFIG);
        let yaml = yaml.map_err(|error| told(name, &error))?;
        Ok(run_by(&yaml.unwrap_or_default()))
    }

    /// The template whose folder, or else whose `name`, is a workspace's name, among those
    /// in a folder below the templates'; empty: the templates' own.
    ///
    /// # Errors
    /// As said above.
    pub fn named(&self, place: &str, name: &str) -> Result<Option<String>, BackendError> {
        let within = |folder: &str| match place {
            "" => folder.to_owned(),
            place => format!("{place}/{folder}"),
        };
        let found = within(&name.to_lowercase().replace(' ', "-"));
        if folder_is_plain(name) && self.has(&found)? {
            return Ok(Some(found));
        }
        let name = name.to_lowercase();
        let all = self.below(place)?.unwrap_or_default();
        let found = all
            .iter()
            .find(|(_, declared)| !name.is_empty() && declared.name.to_lowercase() == name);
        Ok(found.map(|(folder, _)| within(folder)))
    }

    /// Paths and lengths in bytes of a template's files; none if there is no such
    /// template.
    ///
    /// # Errors
    /// As said above.
    pub fn sizes(&self, name: &str) -> Result<Vec<(String, u64)>, BackendError> {
        let Some(top) = self.find(name)? else {
            return Ok(Vec::new());
        };
        let entries = walk::tree(&top, BOUNDS).map_err(|error| told(name, &error))?;
        let files = entries.into_iter();
        let files = files.filter(|entry| !entry.is_folder && !is_token(&entry.path));
        Ok(files.map(|entry| (entry.path, entry.size)).collect())
    }

    /// A file of a template, if it is one that instances are given.
    ///
    /// # Errors
    /// As said above.
    pub fn read(&self, name: &str, path: &str) -> Result<Option<Vec<u8>>, BackendError> {
        if is_token(path) || !path.split('/').all(walk::is_shown) {
            return Ok(None);
        }
        match self.find(name)? {
            Some(top) => walk::file(top, path, MOST_BYTES).map_err(|error| told(name, &error)),
            None => Ok(None),
        }
    }

    /// The files of a template, without a token; nothing if there is no such template.
    ///
    /// # Errors
    /// As said above.
    pub fn files(&self, name: &str) -> Result<Option<Vec<ConfigFile>>, BackendError> {
        let told = |error: io::Error| told(name, &error);
        let Some(top) = self.find(name)? else {
            return Ok(None);
        };
        let mut files = Vec::new();
        let mut left = MOST_BYTES;
        for entry in walk::tree(&top, BOUNDS).map_err(told)? {
            if entry.is_folder || is_token(&entry.path) {
                continue;
            }
            let top = top.again().map_err(told)?;
            let content = match walk::file(top, &entry.path, left) {
                Ok(Some(content)) => content,
                // It went while it was read.
                Ok(None) => continue,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(BackendError::Refused(format!(
                        "template {name}: more than {MOST_BYTES} bytes; take out of it what no workspace reads"
                    )));
                }
                Err(error) => return Err(told(error)),
            };
            left = left.saturating_sub(content.len() as u64);
            let content = unix_lines(&entry.path, content);
            files.push(
                ConfigFile::new(entry.path, content)
                    .map_err(|bad| BackendError::Refused(format!("template {name}: {bad}")))?,
            );
        }
        Ok(Some(files))
    }

    /// The folder of a template; nothing if there is none, or the name leads elsewhere, or
    /// to what a template has inside.
    fn find(&self, name: &str) -> Result<Option<Folder>, BackendError> {
        let Some(path) = inside(name) else {
            return Ok(None);
        };
        let Some(folder) = self.folder(&path)? else {
            return Ok(None);
        };
        match folder.read(CONFIG, LONGEST_CONFIG) {
            Ok(config) => Ok(config.map(|_| folder)),
            Err(error) => Err(told(name, &error)),
        }
    }

    /// A folder below the templates', or theirs; nothing if there is none.
    fn folder(&self, path: &str) -> Result<Option<Folder>, BackendError> {
        let Some(root) = &self.0 else {
            return Ok(None);
        };
        match Folder::at(root).and_then(|root| walk::below(root, path)) {
            Err(error) if walk::is_elsewhere(&error) => Ok(None),
            folder => folder.map_err(|error| told(path, &error)),
        }
    }

    /// Every template in a folder; nothing if there is no such folder.
    fn below(&self, place: &str) -> Result<Option<Vec<(String, Declared)>>, BackendError> {
        let Some(folder) = self.folder(place)? else {
            return Ok(None);
        };
        let folders = folder.entries(MOST_TEMPLATES);
        let folders = folders.map_err(|error| told(&format!("folder {place:?}"), &error))?;
        let folders = folders.into_iter();
        let folders = folders.filter(|(name, size)| size.is_none() && walk::is_shown(name));
        let found = folders.filter_map(|(name, _)| {
            // One that is broken hides no other.
            let declared = declared(&folder.folder(&name).ok()?)?;
            Some((name, declared))
        });
        Ok(Some(found.collect()))
    }
}

/// The same for whoever asked.
pub(crate) fn unread(error: BackendError) -> Error {
    match error {
        BackendError::Refused(why) => Error::field("template", why),
        BackendError::Unavailable(why) => {
            Error::new(Reason::StoreUnavailable, "templates cannot be read now").with_internal(why)
        }
    }
}

/// Why a template is not read.
fn told(name: &str, error: &io::Error) -> BackendError {
    let text = format!("template {name}: {error}");
    match error.kind() {
        io::ErrorKind::InvalidData => BackendError::Refused(text),
        _ => BackendError::Unavailable(text),
    }
}

fn declared(template: &Folder) -> Option<Declared> {
    let yaml = template.read(CONFIG, LONGEST_CONFIG).ok()??;
    Declared::read(&yaml).ok()
}

/// Whether a path is where the token belongs.
fn is_token(path: &str) -> bool {
    path.split('/').next() == Some(TOKEN)
}

/// A name that is one folder's.
fn folder_is_plain(name: &str) -> bool {
    !name.is_empty() && !name.contains('/') && inside(name).is_some()
}

/// The path of a template's name below the folder of templates, if it stays there.
fn inside(name: &str) -> Option<String> {
    let mut parts = Vec::new();
    if name.starts_with('/') || name.contains('\0') {
        return None;
    }
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part if !walk::is_shown(part) => return None,
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// Scripts and texts as the instances' system reads them, wherever they were written.
fn unix_lines(path: &str, content: Vec<u8>) -> Vec<u8> {
    let is_text = [".sh", ".py", ".md"].iter().any(|end| path.ends_with(end));
    if !is_text || !content.contains(&b'\r') {
        return content;
    }
    let mut lines = Vec::with_capacity(content.len());
    let mut rest = content.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'\r' || rest.peek() != Some(&b'\n') {
            lines.push(byte);
        }
    }
    lines
}

#[cfg(test)]
mod tests;
