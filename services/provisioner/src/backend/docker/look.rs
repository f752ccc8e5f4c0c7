//! Looking at containers: which are ours, and how each is.

use std::collections::HashMap;

use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, ContainerSummary,
};
use bollard::query_parameters::{
    InspectContainerOptions, ListContainersOptionsBuilder, LogsOptionsBuilder,
};
use candor_kernel::{Epoch, WorkspaceId};
use futures::StreamExt as _;

use super::engine::{Engine, LOOK, without_secrets};
use super::names::{Labels, Mark, Names, Owner, epoch};
use super::spec::{PORT, PORT_KEY};
use crate::backend::{BackendError, Observed};

/// Longest last words, in bytes.
const LAST_WORDS: usize = 2048;
/// Lines that are asked for; a line may be long, so what is read and kept is bounded too.
const LINES: &str = "20";
const READ_AT_MOST: usize = 4 * 1024 * 1024;
/// Kept until secrets are taken out: one that is cut in two would not be found.
const KEEP: usize = 64 * 1024;
/// Variables that say nothing secret, and that an agent's words may well repeat.
const PUBLIC: [&str; 10] = [
    "WORKSPACE_ID",
    "WORKSPACE_CONFIG_PATH",
    "PLATFORM_URL",
    "MOLECULE_URL",
    "PLUGINS_DIR",
    "PYTHONPATH",
    "PATH",
    "HOME",
    "CONFIGS_DIR",
    "CLAUDE_CONFIG_DIR",
];

/// A container, looked at.
pub(super) struct Container {
    pub(super) id: String,
    pub(super) owner: Owner,
    pub(super) epoch: Epoch,
    about: ContainerInspectResponse,
}

/// The container of this name or id, if there is one.
///
/// # Errors
/// [`BackendError::Unavailable`]: only the engine's 404 means that there is none.
pub(super) async fn at(
    engine: &Engine,
    mark: &Mark,
    name: &str,
) -> Result<Option<Container>, BackendError> {
    let looked = engine
        .call(LOOK, |docker| async move {
            docker
                .inspect_container(name, None::<InspectContainerOptions>)
                .await
        })
        .await;
    match looked {
        Ok(about) => Ok(Some(Container::of(mark, about))),
        Err(failure) if failure.is_not_found() => Ok(None),
        Err(failure) => Err(failure.unavailable(&format!("looking at container {name}"))),
    }
}

/// The ids of the workspace's containers, the newest instance first.
///
/// # Errors
/// [`BackendError::Unavailable`].
pub(super) async fn all_of(
    engine: &Engine,
    mark: &Mark,
    workspace: WorkspaceId,
) -> Result<Vec<String>, BackendError> {
    let mut found = summaries(engine, mark.everything_of(workspace)).await?;
    found.sort_by_key(|container| std::cmp::Reverse(epoch(container.labels.as_ref())));
    Ok(found.into_iter().filter_map(|found| found.id).collect())
}

/// The workspace's newest container. Whatever is not marked as its own is not its own,
/// whatever it is called.
///
/// # Errors
/// [`BackendError::Unavailable`].
pub(super) async fn newest(
    engine: &Engine,
    mark: &Mark,
    workspace: WorkspaceId,
) -> Result<Option<Container>, BackendError> {
    for id in all_of(engine, mark, workspace).await? {
        if let Some(container) = at(engine, mark, &id).await? {
            return Ok(Some(container));
        }
    }
    // A list says nothing about what it leaves out: the name is asked for as well.
    let named = at(engine, mark, &Names::of(workspace).container).await?;
    Ok(named.filter(|container| container.owner == Owner::Ours(workspace)))
}

/// Every container of this installation and its workspace.
///
/// # Errors
/// [`BackendError::Unavailable`].
pub(super) async fn everything(
    engine: &Engine,
    mark: &Mark,
) -> Result<Vec<(WorkspaceId, Epoch, String)>, BackendError> {
    let found = summaries(engine, mark.everything()).await?;
    Ok(found
        .into_iter()
        .filter_map(|container| {
            let labels = container.labels.as_ref();
            match (mark.owner(labels), container.id.clone()) {
                (Owner::Ours(workspace), Some(id)) => Some((workspace, epoch(labels), id)),
                _ => None,
            }
        })
        .collect())
}

async fn summaries(
    engine: &Engine,
    labels: Vec<String>,
) -> Result<Vec<ContainerSummary>, BackendError> {
    let filters = HashMap::from([("label", labels)]);
    let options = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&filters)
        .build();
    engine
        .call(LOOK, |docker| async move {
            docker.list_containers(Some(options)).await
        })
        .await
        .map_err(|failure| failure.unavailable("listing containers"))
}

impl Container {
    fn of(mark: &Mark, about: ContainerInspectResponse) -> Self {
        let labels: Option<&Labels> = about
            .config
            .as_ref()
            .and_then(|config| config.labels.as_ref());
        Self {
            id: about.id.clone().unwrap_or_default(),
            owner: mark.owner(labels),
            epoch: epoch(labels),
            about,
        }
    }

    /// Whether something of it runs, or is about to.
    pub(super) fn is_alive(&self) -> bool {
        matches!(
            self.status(),
            ContainerStateStatusEnum::RUNNING
                | ContainerStateStatusEnum::PAUSED
                | ContainerStateStatusEnum::RESTARTING
        )
    }

    /// How it is, for the reconciler. What was written and never started is no instance
    /// yet. A frozen container runs: whether its agent answers is for others to find out.
    pub(super) async fn observed(&self, engine: &Engine, name: &str) -> Observed {
        let epoch = self.epoch;
        match self.status() {
            ContainerStateStatusEnum::CREATED if self.trouble().is_none() => Observed::NotFound,
            ContainerStateStatusEnum::RESTARTING => Observed::Starting { epoch },
            ContainerStateStatusEnum::RUNNING | ContainerStateStatusEnum::PAUSED => {
                let url = self.url(name);
                Observed::Running { epoch, url }
            }
            _ => {
                let why = self.why(engine).await;
                Observed::Exited { epoch, why }
            }
        }
    }

    /// Where the platform reaches it: at the published port, by name where none is
    /// published, on the host's own port where it has the host's network.
    pub(super) fn url(&self, name: &str) -> Option<String> {
        let host = self.about.host_config.as_ref()?;
        if host.network_mode.as_deref() == Some("host") {
            return Some(format!("http://127.0.0.1:{PORT}"));
        }
        let is_published = host
            .port_bindings
            .as_ref()
            .is_some_and(|bindings| !bindings.is_empty());
        if !is_published {
            return Some(format!("http://{name}:{PORT}"));
        }
        let ports = self.about.network_settings.as_ref()?.ports.as_ref()?;
        let bindings = ports.get(PORT_KEY)?.as_ref()?;
        let port = bindings
            .iter()
            .find_map(|binding| binding.host_port.as_deref())?;
        Some(format!("http://127.0.0.1:{port}"))
    }

    fn state(&self) -> Option<&ContainerState> {
        self.about.state.as_ref()
    }

    fn status(&self) -> ContainerStateStatusEnum {
        self.state()
            .and_then(|state| state.status)
            .unwrap_or(ContainerStateStatusEnum::EMPTY)
    }

    /// What kept it from starting.
    fn trouble(&self) -> Option<&str> {
        let error = self.state().and_then(|state| state.error.as_deref());
        error.filter(|error| !error.is_empty())
    }

    /// Why it ended, without what it keeps secret.
    async fn why(&self, engine: &Engine) -> String {
        let state = self.state();
        let code = state.and_then(|state| state.exit_code).unwrap_or_default();
        let mut why = format!("exit code {code}");
        if state.and_then(|state| state.oom_killed) == Some(true) {
            let memory = self.about.host_config.as_ref().and_then(|host| host.memory);
            let mib = memory.unwrap_or_default() / (1024 * 1024);
            why.push_str(&format!(", out of memory (its tier allows {mib} MiB)"));
        }
        if let Some(error) = self.trouble() {
            why.push_str(&format!(", {error}"));
        }
        let words = without_secrets(&self.log(engine).await, self.secrets());
        let words = the_end_of(&words).trim();
        let why = without_secrets(&why, self.secrets());
        if words.is_empty() {
            return why;
        }
        format!("{why}; its last words: {words}")
    }

    fn secrets(&self) -> impl Iterator<Item = &str> {
        let config = self.about.config.as_ref();
        let env = config.and_then(|config| config.env.as_deref());
        env.unwrap_or_default()
            .iter()
            .filter_map(|variable| variable.split_once('='))
            .filter(|(name, _)| !PUBLIC.contains(name))
            .map(|(_, value)| value)
    }

    /// The end of its log; nothing where it cannot be read.
    async fn log(&self, engine: &Engine) -> String {
        let Ok(connection) = engine.connection().await else {
            return String::new();
        };
        let options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .tail(LINES)
            .build();
        let mut lines = connection.docker.logs(&self.id, Some(options));
        let mut read = 0;
        let mut kept = Vec::new();
        let all = async {
            while let Some(Ok(line)) = lines.next().await {
                let line = line.into_bytes();
                read += line.len();
                kept.extend_from_slice(&line);
                kept.drain(..kept.len().saturating_sub(KEEP));
                if read > READ_AT_MOST {
                    break;
                }
            }
        };
        tokio::time::timeout(LOOK, all).await.ok();
        String::from_utf8_lossy(&kept).into_owned()
    }
}

fn the_end_of(text: &str) -> &str {
    let from = text.len().saturating_sub(LAST_WORDS);
    let from = (from..=text.len()).find(|at| text.is_char_boundary(*at));
    &text[from.unwrap_or_default()..]
}
