//! Instances as containers of a Docker engine.
//!
//! The token is in the volume before there is a process that could read it: `write` makes
//! the container without starting it, puts files and token through it into the volume at
//! `/configs`, `written_token` reads the token back the same way, and `start` starts that
//! very container. No other image is needed for it.
//!
//! Only what carries this installation's mark is ever listed, stopped or removed; names
//! decide nothing.

mod engine;
mod files;
mod image;
mod limits;
mod live;
mod look;
mod mounts;
mod names;
mod network;
mod run;
mod settings;
mod spec;
mod transfer;
mod user;
mod volumes;
mod write;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use candor_kernel::token::TokenHash;
use candor_kernel::{Epoch, WorkspaceId};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::Mutex;

use self::engine::{Engine, LOOK};
pub use self::limits::{Limits, TierLimits};
use self::names::{Mark, Names, Owner};
pub use self::settings::{DEFAULT_NETWORK, DEFAULT_SOCKET, DockerSettings, TEMPLATE_RUNTIMES};
pub use self::spec::HOST_INSIDE;
use super::{
    Backend, BackendError, ConfigFile, FileEntry, Found, Live, Observed, Plan, Progress, Remove,
    Root,
};

/// Containers that are looked at side by side when all are listed.
const SIDE_BY_SIDE: usize = 8;

/// The `docker` backend.
pub struct DockerBackend {
    settings: DockerSettings,
    mark: Mark,
    engine: Engine,
    /// An engine of old makes two networks of one name, if it is asked twice at once.
    making_network: Mutex<()>,
}

impl DockerBackend {
    /// Asks the engine nothing yet.
    #[must_use]
    pub fn new(settings: DockerSettings) -> Self {
        Self {
            mark: Mark::of(&settings.installation),
            engine: Engine::at(settings.socket.clone()),
            making_network: Mutex::new(()),
            settings,
        }
    }

    /// Where containers reach the platform, for whoever makes plans.
    #[must_use]
    pub fn platform_url(&self) -> Option<&str> {
        self.settings.platform_url.as_deref()
    }
}

#[async_trait]
impl Backend for DockerBackend {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn claims(&self, runtime: &str) -> bool {
        // One that is only down keeps what it runs; without a socket there is none.
        self.settings.platform_url.is_some()
            && self.settings.runtimes.contains(runtime)
            && self.settings.socket.exists()
    }

    fn runtimes(&self) -> Vec<String> {
        let runtimes = self.settings.runtimes.iter();
        runtimes
            .filter(|runtime| self.claims(runtime))
            .cloned()
            .collect()
    }

    async fn ready(&self) -> Result<(), BackendError> {
        if self.settings.platform_url.is_none() {
            return Err(BackendError::Refused(
                "containers have no address of the platform; set CANDOR_PLATFORM_URL to one that they reach".to_owned(),
            ));
        }
        let socket = &self.settings.socket;
        if !socket.exists() {
            return Err(BackendError::Refused(format!(
                "there is no Docker engine at {}, and no runtime is run in containers: start one, name its socket with --docker-socket (CANDOR_DOCKER_SOCKET), or leave docker out of --backends (CANDOR_BACKENDS)",
                socket.display()
            )));
        }
        self.engine
            .call(LOOK, |docker| async move { docker.ping().await })
            .await
            .map(drop)
            .map_err(|failure| failure.unavailable("asking the Docker engine"))
    }

    async fn observe(&self, workspace: WorkspaceId) -> Result<Observed, BackendError> {
        let name = Names::of(workspace).container;
        match look::newest(&self.engine, &self.mark, workspace).await? {
            Some(container) => Ok(container.observed(&self.engine, &name).await),
            None => Ok(Observed::NotFound),
        }
    }

    async fn stop(&self, workspace: WorkspaceId, grace: Duration) -> Result<(), BackendError> {
        let name = Names::of(workspace).container;
        let mut all = look::all_of(&self.engine, &self.mark, workspace).await?;
        if all.is_empty() {
            let there = look::newest(&self.engine, &self.mark, workspace).await?;
            all.extend(there.map(|container| container.id));
        }
        for id in &all {
            self.end_gracefully(id, &name, grace).await?;
        }
        match look::newest(&self.engine, &self.mark, workspace).await? {
            None => Ok(()),
            Some(_) => Err(BackendError::Unavailable(format!(
                "{name} is there again while it was stopped"
            ))),
        }
    }

    async fn prepare(&self, plan: &Plan, progress: &dyn Progress) -> Result<(), BackendError> {
        spec::check(plan, &self.settings)?;
        let image = spec::image(plan, &self.settings);
        image::present(&self.engine, &self.settings, &image, Some(progress))
            .await
            .map(drop)
    }

    async fn write(&self, plan: &Plan) -> Result<(), BackendError> {
        spec::check(plan, &self.settings)?;
        let image = spec::image(plan, &self.settings);
        let user = image::present(&self.engine, &self.settings, &image, None).await?;
        self.write_new(plan, &user).await
    }

    async fn written_token(
        &self,
        workspace: WorkspaceId,
        epoch: Epoch,
    ) -> Result<Option<TokenHash>, BackendError> {
        let name = Names::of(workspace).container;
        let there = look::at(&self.engine, &self.mark, &name).await?;
        let is_it =
            |there: &look::Container| there.owner == Owner::Ours(workspace) && there.epoch == epoch;
        match there.filter(is_it) {
            Some(there) => self.token_of(&there.id).await,
            None => Ok(None),
        }
    }

    async fn start(&self, plan: &Plan, progress: &dyn Progress) -> Result<Observed, BackendError> {
        spec::check(plan, &self.settings)?;
        progress.told(format_args!("starting the container"));
        self.start_written(plan).await
    }

    async fn remove(&self, workspace: WorkspaceId, what: Remove) -> Result<(), BackendError> {
        let names = Names::of(workspace);
        let mut volumes = vec![&names.configs, &names.sessions];
        if what == Remove::Everything {
            volumes.push(&names.workspace);
        }
        let mut first = Ok(());
        // One that cannot be removed keeps no other.
        for name in volumes {
            let removed = volumes::remove(&self.engine, &self.mark, workspace, name).await;
            first = first.and(removed);
        }
        first
    }

    async fn list(&self) -> Result<Vec<Found>, BackendError> {
        let containers = look::everything(&self.engine, &self.mark).await?;
        let mut newest: BTreeMap<WorkspaceId, (Epoch, String)> = BTreeMap::new();
        for (workspace, epoch, id) in containers {
            let known = newest.get(&workspace);
            if known.is_none_or(|(known, _)| *known < epoch) {
                newest.insert(workspace, (epoch, id));
            }
        }
        let without: Vec<WorkspaceId> = volumes::owners(&self.engine, &self.mark)
            .await?
            .into_iter()
            .filter(|workspace| !newest.contains_key(workspace))
            .collect();
        let mut found: BTreeMap<WorkspaceId, Observed> = without
            .into_iter()
            .map(|workspace| (workspace, Observed::NotFound))
            .collect();
        let looks = stream::iter(newest).map(|(workspace, (_, id))| async move {
            let name = Names::of(workspace).container;
            let observed = match look::at(&self.engine, &self.mark, &id).await? {
                Some(container) => container.observed(&self.engine, &name).await,
                None => Observed::NotFound,
            };
            Ok::<_, BackendError>((workspace, observed))
        });
        let looked: Vec<_> = looks.buffer_unordered(SIDE_BY_SIDE).try_collect().await?;
        found.extend(looked);
        let found = found.into_iter();
        Ok(found
            .map(|(workspace, observed)| Found {
                workspace,
                observed,
            })
            .collect())
    }

    async fn list_files(
        &self,
        workspace: WorkspaceId,
        root: Root,
        path: &str,
        depth: usize,
    ) -> Result<Live<Vec<FileEntry>>, BackendError> {
        self.list_live(workspace, root, path, depth).await
    }

    async fn read_file(
        &self,
        workspace: WorkspaceId,
        root: Root,
        path: &str,
    ) -> Result<Live<Option<Bytes>>, BackendError> {
        self.read_live(workspace, root, path).await
    }

    async fn write_files(
        &self,
        workspace: WorkspaceId,
        files: &[ConfigFile],
    ) -> Result<Live<&'static str>, BackendError> {
        self.write_live(workspace, files).await
    }

    async fn delete_file(
        &self,
        workspace: WorkspaceId,
        path: &str,
    ) -> Result<Live<()>, BackendError> {
        self.delete_live(workspace, path).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn nothing_is_claimed_where_there_is_no_engine() {
        let place = tempfile::tempdir().unwrap();
        let backend = DockerBackend::new(DockerSettings {
            socket: place.path().join("docker.sock"),
            platform_url: Some("http://platform".to_owned()),
            ..DockerSettings::new("here")
        });
        assert!(!backend.claims("langgraph") && backend.runtimes().is_empty());
        let problem = backend.ready().await.unwrap_err();
        assert!(matches!(problem, BackendError::Refused(_)), "{problem}");
        assert!(
            problem.to_string().contains("CANDOR_DOCKER_SOCKET"),
            "{problem}"
        );
        // A socket that nobody listens on is an engine that is down.
        drop(std::os::unix::net::UnixListener::bind(&backend.settings.socket).unwrap());
        assert!(backend.claims("langgraph"));
        let problem = backend.ready().await.unwrap_err();
        assert!(matches!(problem, BackendError::Unavailable(_)), "{problem}");
    }
}
