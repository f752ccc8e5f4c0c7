//! Files of a container of ours, running or not, as the engine's archives have them. What
//! the engine would follow, links on the way, is looked for first and not followed.

use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::query_parameters::ContainerArchiveInfoOptionsBuilder;
use bytes::Bytes;
use candor_kernel::WorkspaceId;
use futures::StreamExt as _;

use super::DockerBackend;
use super::engine::{Failure, LOOK};
use super::files::{self, CONFIGS, TOKEN};
use super::look::{self, Container};
use super::transfer::Fetched;
use crate::backend::{BackendError, ConfigFile, FileEntry, LONGEST_FILE, Live, Root};

/// Longest archive of a folder that is read for a list, in bytes: an engine has no list,
/// only everything.
const LONGEST_LIST: usize = 32 * 1024 * 1024;
/// Room for what an archive has around a file.
const AROUND: usize = 64 * 1024;
/// Kinds of files, as the engine says them: bits of Go's `fs.FileMode`.
const IS_FOLDER: u32 = 1 << 31;
const IS_LINK: u32 = 1 << 27;
const IS_OTHER: u32 = (1 << 26) | (1 << 25) | (1 << 24) | (1 << 21) | (1 << 19);

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nothing,
    Folder,
    File(u64),
    /// A link, a pipe, a device.
    Other,
}

impl DockerBackend {
    /// See [`crate::backend::Backend::list_files`].
    pub(super) async fn list_live(
        &self,
        workspace: WorkspaceId,
        root: Root,
        path: &str,
        depth: usize,
    ) -> Result<Live<Vec<FileEntry>>, BackendError> {
        let Some(there) = self.container_of(workspace).await? else {
            return Ok(Live::Unseen);
        };
        let id = &there.id;
        let whole = join(root, path);
        if !self.is_reached(id, root, path).await? || self.kind(id, &whole).await? != Kind::Folder {
            return Ok(Live::Seen(Vec::new()));
        }
        let archive = match self.fetch(id, &whole, LONGEST_LIST).await? {
            Fetched::Archive(archive) => archive,
            Fetched::Missing => return Ok(Live::Seen(Vec::new())),
            Fetched::TooLong => {
                return Err(BackendError::Refused(format!(
                    "{whole} holds more than {LONGEST_LIST} bytes, and an engine has to be asked for all of it; list a folder below it"
                )));
            }
        };
        let hidden = (root == Root::Configs && path.is_empty()).then_some(TOKEN);
        files::list_of(&archive, depth, hidden)
            .map(Live::Seen)
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::InvalidData => {
                    BackendError::Refused(format!("{whole}: {error}"))
                }
                _ => BackendError::Unavailable(format!("reading {whole}: {error}")),
            })
    }

    /// See [`crate::backend::Backend::read_file`].
    pub(super) async fn read_live(
        &self,
        workspace: WorkspaceId,
        root: Root,
        path: &str,
    ) -> Result<Live<Option<Bytes>>, BackendError> {
        let Some(there) = self.container_of(workspace).await? else {
            return Ok(Live::Unseen);
        };
        let (id, whole) = (&there.id, join(root, path));
        if !self.is_reached(id, root, path).await? {
            return Ok(Live::Seen(None));
        }
        let size = match self.kind(id, &whole).await? {
            Kind::File(size) => size,
            _ => return Ok(Live::Seen(None)),
        };
        let too_long =
            || BackendError::Refused(format!("{whole} is longer than {LONGEST_FILE} bytes"));
        if size > LONGEST_FILE {
            return Err(too_long());
        }
        let most = usize::try_from(LONGEST_FILE).unwrap_or(usize::MAX) + AROUND;
        match self.fetch(id, &whole, most).await? {
            Fetched::Archive(archive) => files::content_of(&archive, LONGEST_FILE)
                .map(Live::Seen)
                .map_err(|error| BackendError::Unavailable(format!("reading {whole}: {error}"))),
            Fetched::Missing => Ok(Live::Seen(None)),
            Fetched::TooLong => Err(too_long()),
        }
    }

    /// See [`crate::backend::Backend::write_files`].
    pub(super) async fn write_live(
        &self,
        workspace: WorkspaceId,
        files: &[ConfigFile],
    ) -> Result<Live<&'static str>, BackendError> {
        let Some(there) = self.container_of(workspace).await? else {
            return Ok(Live::Unseen);
        };
        let id = &there.id;
        for file in files {
            let path = file.path();
            for (at, _) in path.match_indices('/') {
                match self.kind(id, &join(Root::Configs, &path[..at])).await? {
                    Kind::Folder => {}
                    Kind::Nothing => break,
                    _ => {
                        let text = format!("{path}: {} is no folder", &path[..at]);
                        return Err(BackendError::Refused(text));
                    }
                }
            }
            match self.kind(id, &join(Root::Configs, path)).await? {
                Kind::Nothing | Kind::File(_) => {}
                _ => return Err(BackendError::Refused(format!("{path} is no plain file"))),
            }
        }
        // The instance owns its configuration; whom that is, its token says.
        let token = format!("{CONFIGS}/{TOKEN}");
        let owner = match self.fetch(id, &token, AROUND).await? {
            Fetched::Archive(archive) => files::owner_in(&archive),
            _ => None,
        };
        let archive = files::archive_of(files, owner.unwrap_or_default())
            .map_err(|error| BackendError::Refused(format!("the files: {error}")))?;
        self.upload(id, CONFIGS, archive).await?;
        Ok(Live::Seen(match there.is_alive() {
            true => "container",
            false => "volume",
        }))
    }

    /// See [`crate::backend::Backend::delete_file`]. An engine has no way to take a file
    /// away: the container's own `rm` does.
    pub(super) async fn delete_live(
        &self,
        workspace: WorkspaceId,
        path: &str,
    ) -> Result<Live<()>, BackendError> {
        let Some(there) = self.container_of(workspace).await? else {
            return Ok(Live::Unseen);
        };
        let (id, whole) = (&there.id, join(Root::Configs, path));
        if !self.is_reached(id, Root::Configs, path).await?
            || self.kind(id, &whole).await? == Kind::Nothing
        {
            return Ok(Live::Seen(()));
        }
        if !there.is_alive() {
            return Err(BackendError::Refused(format!(
                "{whole} is in a container that does not run; start it first"
            )));
        }
        let ended = self.remove_inside(id, &whole).await?;
        match (ended, self.kind(id, &whole).await?) {
            (_, Kind::Nothing) => Ok(Live::Seen(())),
            (ended, _) => Err(BackendError::Refused(format!(
                "`rm` of the container's image did not remove {whole}: {ended}"
            ))),
        }
    }

    /// Runs `rm` in the container, and says how it ended.
    async fn remove_inside(&self, id: &str, path: &str) -> Result<String, BackendError> {
        let options = CreateExecOptions {
            cmd: Some(vec!["rm", "-rf", "--", path]),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..CreateExecOptions::default()
        };
        let ran = self.engine.call(LOOK, |docker| async move {
            let made = docker.create_exec(id, options).await?;
            if let StartExecResults::Attached { mut output, .. } =
                docker.start_exec(&made.id, None).await?
            {
                // Read to its end: that is when the command has ended.
                while let Some(piece) = output.next().await {
                    piece?;
                }
            }
            docker.inspect_exec(&made.id).await
        });
        match ran.await {
            Ok(ran) => Ok(format!("exit status {}", ran.exit_code.unwrap_or(-1))),
            Err(Failure::Answered(_, text)) => Ok(text),
            Err(failure) => Err(failure.unavailable("removing a file")),
        }
    }

    async fn container_of(
        &self,
        workspace: WorkspaceId,
    ) -> Result<Option<Container>, BackendError> {
        look::newest(&self.engine, &self.mark, workspace).await
    }

    /// Whether every folder on the way to a path is one, and no link.
    async fn is_reached(&self, id: &str, root: Root, path: &str) -> Result<bool, BackendError> {
        if self.kind(id, root.path()).await? != Kind::Folder {
            return Ok(false);
        }
        for (at, _) in path.match_indices('/') {
            if self.kind(id, &join(root, &path[..at])).await? != Kind::Folder {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What is at a path, a link there not followed.
    async fn kind(&self, id: &str, path: &str) -> Result<Kind, BackendError> {
        let options = ContainerArchiveInfoOptionsBuilder::new().path(path).build();
        let looked = self
            .engine
            .call(LOOK, |docker| async move {
                docker.get_container_archive_info(id, Some(options)).await
            })
            .await;
        match looked {
            Ok(about) if about.file_mode & IS_FOLDER != 0 => Ok(Kind::Folder),
            Ok(about) if about.file_mode & (IS_LINK | IS_OTHER) != 0 => Ok(Kind::Other),
            Ok(about) => Ok(Kind::File(u64::try_from(about.size).unwrap_or_default())),
            Err(failure) if failure.is_not_found() => Ok(Kind::Nothing),
            Err(failure) => Err(failure.unavailable(&format!("looking at {path}"))),
        }
    }
}

fn join(root: Root, path: &str) -> String {
    match path {
        "" => root.path().to_owned(),
        path => format!("{}/{path}", root.path()),
    }
}
