//! What goes into a container and comes out of it, as archives.

use bollard::body_full;
use bollard::query_parameters::{
    DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use bytes::Bytes;
use candor_kernel::token::TokenHash;
use futures::StreamExt as _;

use super::DockerBackend;
use super::engine::{LOOK, MAKE};
use super::files::{self, CONFIGS, TOKEN};
use crate::backend::BackendError;

/// Longest archive of the token's file: a block of header, and room for a long path.
const TOKEN_ARCHIVE: usize = 64 * 1024;

impl DockerBackend {
    /// Unpacks an archive below a folder of the container.
    pub(super) async fn upload(
        &self,
        id: &str,
        to: &str,
        archive: Bytes,
    ) -> Result<(), BackendError> {
        let options = UploadToContainerOptionsBuilder::new().path(to).build();
        let written = self.engine.call(MAKE, |docker| async move {
            docker
                .upload_to_container(id, Some(options), body_full(archive))
                .await
        });
        written
            .await
            .map_err(|failure| failure.unavailable(&format!("writing {to}")))
    }

    /// The hash of the token that the container will read.
    pub(super) async fn token_of(&self, id: &str) -> Result<Option<TokenHash>, BackendError> {
        let path = format!("{CONFIGS}/{TOKEN}");
        let Some(archive) = self.download(id, &path, TOKEN_ARCHIVE).await? else {
            return Ok(None);
        };
        files::token_in(&archive)
            .map_err(|error| BackendError::Unavailable(format!("reading {path} back: {error}")))
    }

    /// An archive of one path, within a limit; nothing if there is no such path.
    pub(super) async fn download(
        &self,
        id: &str,
        path: &str,
        longest: usize,
    ) -> Result<Option<Vec<u8>>, BackendError> {
        match self.fetch(id, path, longest).await? {
            Fetched::Archive(archive) => Ok(Some(archive)),
            Fetched::Missing => Ok(None),
            Fetched::TooLong => Err(BackendError::Unavailable(format!(
                "{path} is longer than it may be"
            ))),
        }
    }

    /// An archive of one path, if it is not longer than that.
    pub(super) async fn fetch(
        &self,
        id: &str,
        path: &str,
        longest: usize,
    ) -> Result<Fetched, BackendError> {
        let options = DownloadFromContainerOptionsBuilder::new()
            .path(path)
            .build();
        let read = self
            .engine
            .call(LOOK, |docker| async move {
                let mut pieces = docker.download_from_container(id, Some(options));
                let mut archive = Vec::new();
                while let Some(piece) = pieces.next().await {
                    archive.extend_from_slice(&piece?);
                    if archive.len() > longest {
                        break;
                    }
                }
                Ok(archive)
            })
            .await;
        match read {
            Ok(archive) if archive.len() > longest => Ok(Fetched::TooLong),
            Ok(archive) => Ok(Fetched::Archive(archive)),
            Err(failure) if failure.is_not_found() => Ok(Fetched::Missing),
            Err(failure) => Err(failure.unavailable(&format!("reading {path} back"))),
        }
    }
}

/// What came of asking for an archive.
pub(super) enum Fetched {
    Archive(Vec<u8>),
    Missing,
    TooLong,
}
