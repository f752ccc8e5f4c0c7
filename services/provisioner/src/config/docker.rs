//! Flags and variables of containers.

use std::path::PathBuf;

use candor_process::config::Problems;
use clap::Args;
use clap::builder::FalseyValueParser;

use super::Shared;
use super::parsers::{folders, platform, runtimes, some_time};
use crate::backend::docker::DockerSettings;

/// Containers, as text.
#[derive(Debug, Clone, Default, Args)]
pub struct DockerArgs {
    /// The Docker engine's socket.
    #[arg(long, env = "CANDOR_DOCKER_SOCKET", value_name = "FILE")]
    pub docker_socket: Option<String>,
    /// The network that containers join; made if it is missing.
    #[arg(long, env = "CANDOR_DOCKER_NETWORK", value_name = "NAME")]
    pub docker_network: Option<String>,
    /// The platform itself is in that network, and reaches agents by their names.
    #[arg(long, env = "CANDOR_DOCKER_SAME_NETWORK", value_parser = FalseyValueParser::new())]
    pub docker_same_network: bool,
    /// Runtimes that run in containers, separated by commas; by default the templates'
    /// and those that have an image.
    #[arg(long, env = "CANDOR_DOCKER_RUNTIMES", value_name = "LIST")]
    pub docker_runtimes: Option<String>,
    /// Folders of the host below which a workspace's folder may be, separated by commas.
    #[arg(long, env = "CANDOR_DOCKER_HOST_MOUNTS", value_name = "LIST")]
    pub docker_host_mounts: Option<String>,
    /// os/arch of the images, where it is not the engine's own [env alias: MOLECULE_IMAGE_PLATFORM].
    #[arg(long, env = "CANDOR_IMAGE_PLATFORM", value_name = "PLATFORM")]
    pub image_platform: Option<String>,
    /// The longest pull of an image.
    #[arg(long, env = "CANDOR_PULL_DEADLINE", value_name = "DURATION")]
    pub pull_deadline: Option<String>,
}

impl DockerArgs {
    /// The settings, without installation and platform.
    pub(super) fn settings(&self, problems: &mut Problems<'_>, shared: &Shared) -> DockerSettings {
        let usual = DockerSettings::new("");
        let text = |problems: &Problems<'_>, setting, given: &Option<String>| {
            let found = problems.first(setting, given.clone(), &[]);
            found.map(|(_, text)| text.trim().to_owned())
        };
        let named = problems.parse(
            "--docker-runtimes",
            self.docker_runtimes.clone(),
            &[],
            runtimes,
        );
        DockerSettings {
            socket: text(problems, "--docker-socket", &self.docker_socket)
                .map_or(usual.socket, PathBuf::from),
            network: text(problems, "--docker-network", &self.docker_network)
                .unwrap_or(usual.network),
            same_network: self.docker_same_network,
            runtimes: named.unwrap_or_else(|| {
                let with_image = shared.images.keys().cloned();
                usual.runtimes.into_iter().chain(with_image).collect()
            }),
            host_mounts: problems
                .parse(
                    "--docker-host-mounts",
                    self.docker_host_mounts.clone(),
                    &[],
                    folders,
                )
                .unwrap_or_default(),
            image_platform: problems.parse(
                "--image-platform",
                self.image_platform.clone(),
                &["MOLECULE_IMAGE_PLATFORM"],
                platform,
            ),
            pull_deadline: problems
                .parse(
                    "--pull-deadline",
                    self.pull_deadline.clone(),
                    &[],
                    some_time,
                )
                .unwrap_or(usual.pull_deadline),
            images: shared.images.clone(),
            limits: shared.limits,
            allow_privileged: shared.allow_privileged,
            installation: usual.installation,
            platform_url: None,
        }
    }
}
