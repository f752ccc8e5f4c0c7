//! Files below `/configs`, as the archives that an engine takes and gives.

use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::path::{Component, Path};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use candor_kernel::token::TokenHash;

use crate::backend::{ConfigFile, FileEntry, MOST_LISTED, Plan};
use crate::walk::is_shown;

/// Where an instance reads its configuration.
pub(super) const CONFIGS: &str = "/configs";
/// The token's name there.
pub(super) const TOKEN: &str = ".auth_token";
/// Where Candor's own runtimes keep their session, below it.
const SESSION: &str = ".candor/claude-session";
/// Longest token file that is read.
const LONGEST_TOKEN: u64 = 4096;

/// Who a file belongs to in a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ids {
    pub(super) uid: u64,
    pub(super) gid: u64,
}

/// Everything that the instance reads, as one archive for `/configs`. The token comes
/// last, so that no file of the plan can stand in its place.
pub(super) fn archive(plan: &Plan, owner: Ids) -> io::Result<Bytes> {
    let mut archive = Archive::new(owner);
    if plan.reset_session && plan.runtime.starts_with("candor-") {
        // An archive cannot take a file away; an empty one says that there is no session.
        archive.file(SESSION, b"", 0o600)?;
    }
    for file in &plan.files {
        archive.file(file.path(), &file.content, 0o644)?;
    }
    archive.file(TOKEN, plan.token.expose().as_bytes(), 0o600)?;
    archive.finish()
}

/// Folders at the root that are to belong to the instance, as one archive for `/`.
pub(super) fn folders(paths: &[&str], owner: Ids) -> io::Result<Bytes> {
    let mut archive = Archive::new(owner);
    for path in paths {
        archive.folder(path.trim_start_matches('/'), 0o700)?;
    }
    archive.finish()
}

/// Files for `/configs`, as one archive.
pub(super) fn archive_of(files: &[ConfigFile], owner: Ids) -> io::Result<Bytes> {
    let mut archive = Archive::new(owner);
    for file in files {
        archive.file(file.path(), &file.content, 0o644)?;
    }
    archive.finish()
}

/// What is in an archive of a folder, so many folders deep: each folder before what is in
/// it, without links, the hidden name and what no list shows.
pub(super) fn list_of(
    archive: &[u8],
    depth: usize,
    hidden: Option<&str>,
) -> io::Result<Vec<FileEntry>> {
    let mut found = Vec::new();
    for entry in tar::Archive::new(archive).entries()? {
        let entry = entry?;
        let kind = entry.header().entry_type();
        let path = entry.path()?;
        // The first part is the folder itself.
        let parts: Option<Vec<&str>> = path
            .components()
            .skip(1)
            .map(|part| part.as_os_str().to_str())
            .collect();
        let Some(parts) = parts else { continue };
        let is_listed = !parts.is_empty()
            && parts.len() <= depth
            && parts.first().copied() != hidden
            && parts.iter().all(|part| is_shown(part));
        if !is_listed || !(kind.is_file() || kind.is_dir()) {
            continue;
        }
        if found.len() == MOST_LISTED {
            let problem = format!("more than {MOST_LISTED} files and folders");
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        found.push((
            parts
                .iter()
                .map(|part| (*part).to_owned())
                .collect::<Vec<_>>(),
            kind.is_file().then(|| entry.size()),
        ));
    }
    found.sort();
    let found = found.into_iter();
    Ok(found
        .map(|(parts, size)| FileEntry {
            path: parts.join("/"),
            size: size.unwrap_or_default(),
            is_folder: size.is_none(),
        })
        .collect())
}

/// The content of an archive's first entry, if it is a file within the limit.
pub(super) fn content_of(archive: &[u8], longest: u64) -> io::Result<Option<Bytes>> {
    let mut archive = tar::Archive::new(archive);
    let Some(entry) = archive.entries()?.next() else {
        return Ok(None);
    };
    let entry = entry?;
    if !entry.header().entry_type().is_file() || entry.size() > longest {
        return Ok(None);
    }
    let mut content = Vec::new();
    entry.take(longest).read_to_end(&mut content)?;
    Ok(Some(content.into()))
}

/// Whom an archive's first entry belongs to.
pub(super) fn owner_in(archive: &[u8]) -> Option<Ids> {
    let mut archive = tar::Archive::new(archive);
    let entry = archive.entries().ok()?.next()?.ok()?;
    Some(Ids {
        uid: entry.header().uid().ok()?,
        gid: entry.header().gid().ok()?,
    })
}

struct Archive {
    builder: tar::Builder<Vec<u8>>,
    folders: BTreeSet<String>,
    owner: Ids,
    now: u64,
}

impl Archive {
    fn new(owner: Ids) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            builder: tar::Builder::new(Vec::new()),
            folders: BTreeSet::new(),
            owner,
            now: now.map_or(0, |since| since.as_secs()),
        }
    }

    /// A file, and the folders that it is in: they belong to the instance as well.
    fn file(&mut self, path: &str, content: &[u8], mode: u32) -> io::Result<()> {
        let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
        for folder in parents.map(str::to_owned).collect::<Vec<_>>() {
            if self.folders.insert(folder.clone()) {
                self.folder(&folder, 0o755)?;
            }
        }
        let mut header = self.header(mode, tar::EntryType::Regular);
        header.set_size(content.len() as u64);
        self.builder.append_data(&mut header, path, content)
    }

    fn folder(&mut self, path: &str, mode: u32) -> io::Result<()> {
        let mut header = self.header(mode, tar::EntryType::Directory);
        header.set_size(0);
        let path = format!("{path}/");
        self.builder.append_data(&mut header, path, io::empty())
    }

    fn header(&self, mode: u32, kind: tar::EntryType) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(self.owner.uid);
        header.set_gid(self.owner.gid);
        header.set_mtime(self.now);
        header
    }

    fn finish(self) -> io::Result<Bytes> {
        Ok(self.builder.into_inner()?.into())
    }
}

/// The hash of the token in an archive of the token's file. Nothing if it is no file, or
/// holds nothing.
pub(super) fn token_in(archive: &[u8]) -> io::Result<Option<TokenHash>> {
    let text = file_in(archive, LONGEST_TOKEN)?;
    Ok(text
        .as_deref()
        .map(str::trim)
        .filter(|token| !token.is_empty())
        .map(TokenHash::of))
}

/// The first entry of an archive, if it is a file of text within the limit.
fn file_in(archive: &[u8], longest: u64) -> io::Result<Option<String>> {
    let content = content_of(archive, longest)?;
    content
        .map(|content| String::from_utf8(content.into()))
        .transpose()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Whether a path of the host has no parts that lead elsewhere, and can be written into a
/// bind.
pub(super) fn is_plain_path(path: &Path) -> bool {
    path.is_absolute()
        && path
            .components()
            .all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
        && path
            .to_str()
            .is_some_and(|text| !text.contains([':', '\0']))
}

/// Looks a user up in archives of `/etc/passwd` and `/etc/group`.
pub(super) fn look_up(user: &super::user::User, passwd: &[u8], group: &[u8]) -> Option<Ids> {
    let passwd = file_in(passwd, LONGEST_TABLE).ok().flatten()?;
    let group = file_in(group, LONGEST_TABLE)
        .ok()
        .flatten()
        .unwrap_or_default();
    user.in_tables(&passwd, &group)
}

/// Longest table of users that is read.
pub(super) const LONGEST_TABLE: u64 = 1024 * 1024;
