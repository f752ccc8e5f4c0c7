//! What the operator decides about containers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::limits::TierLimits;

/// The legacy platform's network.
pub const DEFAULT_NETWORK: &str = "molecule-monorepo-net";
/// Where an engine listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
/// The runtimes that have a template image of their own.
pub const TEMPLATE_RUNTIMES: [&str; 8] = [
    "langgraph",
    "claude-code",
    "openclaw",
    "deepagents",
    "crewai",
    "autogen",
    "hermes",
    "gemini-cli",
];

/// Settings of the `docker` backend.
#[derive(Debug, Clone)]
pub struct DockerSettings {
    /// The engine's Unix socket.
    pub socket: PathBuf,
    /// The id of this installation. What does not carry it in a label is not ours.
    pub installation: String,
    /// The network that containers join; made if it is missing.
    pub network: String,
    /// The runtimes that are claimed.
    pub runtimes: BTreeSet<String>,
    /// Images by runtime, over the legacy platform's choice.
    pub images: BTreeMap<String, String>,
    /// `os/arch` of the images, where it is not the engine's own.
    pub image_platform: Option<String>,
    /// Whether tiers 3 and 4 may be started. They are root on the host.
    pub allow_privileged: bool,
    /// What each tier may use.
    pub limits: TierLimits,
    /// The folders of the host below which a workspace's folder may be.
    pub host_mounts: Vec<PathBuf>,
    /// Where containers reach the platform. Nothing is claimed without it.
    pub platform_url: Option<String>,
    /// Whether the platform itself is in `network`: it then reaches agents by name, and
    /// their ports are not published.
    pub same_network: bool,
    /// The longest pull of an image.
    pub pull_deadline: Duration,
}

impl DockerSettings {
    /// Claims the template runtimes once there is a platform URL, and allows nothing that
    /// reaches the host.
    #[must_use]
    pub fn new(installation: impl Into<String>) -> Self {
        Self {
            socket: PathBuf::from(DEFAULT_SOCKET),
            installation: installation.into(),
            network: DEFAULT_NETWORK.to_owned(),
            runtimes: TEMPLATE_RUNTIMES.map(str::to_owned).into(),
            images: BTreeMap::new(),
            image_platform: None,
            allow_privileged: false,
            limits: TierLimits::default(),
            host_mounts: Vec::new(),
            platform_url: None,
            same_network: false,
            pull_deadline: Duration::from_secs(8 * 60),
        }
    }

    /// The image of a runtime. What has no template of its own runs langgraph's, as on
    /// the legacy platform.
    #[must_use]
    pub fn image_of(&self, runtime: &str) -> String {
        if let Some(image) = self.images.get(runtime) {
            return image.clone();
        }
        let known = TEMPLATE_RUNTIMES.contains(&runtime);
        let template = if known { runtime } else { "langgraph" };
        format!("ghcr.io/molecule-ai/workspace-template-{template}:latest")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn an_image_is_overridden_or_the_templates_or_langgraphs() {
        let mut settings = DockerSettings::new("here");
        settings
            .images
            .insert("candor-echo".into(), "candor-workspace:1".into());
        for (runtime, image) in [
            ("candor-echo", "candor-workspace:1"),
            (
                "claude-code",
                "ghcr.io/molecule-ai/workspace-template-claude-code:latest",
            ),
            (
                "unknown-runtime",
                "ghcr.io/molecule-ai/workspace-template-langgraph:latest",
            ),
        ] {
            assert_eq!(settings.image_of(runtime), image);
        }
    }
}
