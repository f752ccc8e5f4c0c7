//! The provisioner's settings: everything that an operator decides about instances.

mod docker;
mod kubernetes;
mod parsers;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use candor_process::config::{ConfigError, Problems};
use clap::Args;
use clap::builder::FalseyValueParser;

use self::docker::DockerArgs;
use self::kubernetes::KubernetesArgs;
use self::parsers::{count, images, kinds, some_time};
use crate::backend::docker::{DockerSettings, TierLimits};
use crate::backend::kubernetes::Settings as KubernetesSettings;
use crate::reconcile::{Budget, CrashPoint};

/// How long a new instance may take until it calls; the legacy platform's.
const PROVISION_TIMEOUT: Duration = Duration::from_secs(600);
/// The same for the runtime that takes longest.
const HERMES_TIMEOUT: Duration = Duration::from_secs(1800);

/// Flags and variables of the provisioner, as text; [`ProvisionerArgs::resolve`] parses.
#[derive(Debug, Clone, Default, Args)]
pub struct ProvisionerArgs {
    /// Folder with one folder for each workspace template.
    #[arg(long, env = "CANDOR_TEMPLATES", value_name = "DIR")]
    pub templates: Option<String>,
    /// How long a new instance may take until it calls [env alias: PROVISION_TIMEOUT_SECONDS].
    #[arg(long, env = "CANDOR_PROVISION_TIMEOUT", value_name = "DURATION")]
    pub provision_timeout: Option<String>,
    /// What runs instances: process, docker, kubernetes, separated by commas.
    #[arg(long, env = "CANDOR_BACKENDS", value_name = "LIST")]
    pub backends: Option<String>,
    /// Restarts of a workspace that nobody asked for, at most, within the window.
    #[arg(long, env = "CANDOR_RESTART_BUDGET", value_name = "N")]
    pub restart_budget: Option<String>,
    /// The window of the budget.
    #[arg(long, env = "CANDOR_RESTART_WINDOW", value_name = "DURATION")]
    pub restart_window: Option<String>,
    /// How long an instance may take to end when it is asked; then it is killed.
    #[arg(long, env = "CANDOR_STOP_GRACE", value_name = "DURATION")]
    pub stop_grace: Option<String>,
    /// How often it is looked whether instances still run.
    #[arg(long, env = "CANDOR_INSTANCE_SWEEP", value_name = "DURATION")]
    pub instance_sweep: Option<String>,
    /// How long another provisioner waits before it goes on with what one that ended had
    /// begun.
    #[arg(long, env = "CANDOR_INSTANCE_LEASE", value_name = "DURATION")]
    pub instance_lease: Option<String>,
    /// Folder of the instances that are processes; `instances` in the data directory.
    #[arg(long, env = "CANDOR_PROCESS_ROOT", value_name = "DIR")]
    pub process_root: Option<String>,
    /// The program that they run; `candor-workspace`, beside this one or on PATH.
    #[arg(long, env = "CANDOR_PROCESS_PROGRAM", value_name = "FILE")]
    pub process_program: Option<String>,
    /// Images of containers and pods: runtime=image, separated by commas.
    #[arg(long, env = "CANDOR_IMAGES", value_name = "LIST")]
    pub images: Option<String>,
    /// Start tiers 3 and 4, which are root on the machine that they run on.
    #[arg(long, env = "CANDOR_ALLOW_PRIVILEGED", value_parser = FalseyValueParser::new())]
    pub allow_privileged: bool,
    /// For tests of crashes: the process ends as by `kill -9` where this says.
    #[arg(long, env = "CANDOR_CRASH_AT", hide = true, value_name = "PLACE:N")]
    pub crash_at: Option<String>,
    /// Containers.
    #[command(flatten)]
    pub docker: DockerArgs,
    /// Pods.
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
}

/// How the provisioner works.
#[derive(Debug, Clone)]
pub struct ProvisionerConfig {
    /// Folder with one folder for each workspace template, if there are any.
    pub templates: Option<PathBuf>,
    /// How long a new instance may take until it calls, where the operator says it
    /// ([`ProvisionerConfig::provision_timeout`]).
    pub provision_timeout: Option<Duration>,
    /// How long an instance may take to end when it is asked.
    pub grace: Duration,
    /// Restarts that nobody asked for.
    pub budget: Budget,
    /// How often everything is looked at that should be as it is.
    pub sweep: Duration,
    /// How long the right to move an instance on holds without being renewed.
    pub lease: Duration,
    /// Nowhere but in tests of crashes.
    pub crash: CrashPoint,
}

impl ProvisionerConfig {
    /// How long a new instance of a runtime may take until it calls.
    #[must_use]
    pub fn provision_timeout(&self, runtime: &str) -> Duration {
        self.provision_timeout.unwrap_or(match runtime {
            "hermes" => HERMES_TIMEOUT,
            _ => PROVISION_TIMEOUT,
        })
    }

    /// The longest of any runtime.
    #[must_use]
    pub fn longest_start(&self) -> Duration {
        self.provision_timeout.unwrap_or(HERMES_TIMEOUT)
    }
}

/// A backend, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Processes of this machine.
    Process,
    /// Containers of a Docker engine.
    Docker,
    /// Pods of a cluster.
    Kubernetes,
}

/// What runs instances, and how. Which installation it is stands in the database and is
/// filled in when the backends are made.
#[derive(Debug, Clone)]
pub struct BackendSettings {
    /// Which are made, each once.
    pub chosen: Vec<Kind>,
    /// Folder of the instances that are processes; `None` means in the data directory.
    pub process_root: Option<PathBuf>,
    /// What they run; `None` means that it is looked for.
    pub process_program: Option<PathBuf>,
    /// Containers.
    pub docker: DockerSettings,
    /// Pods.
    pub kubernetes: KubernetesSettings,
}

/// Everything above, typed.
#[derive(Debug, Clone)]
pub struct ProvisionerSettings {
    /// How the provisioner works.
    pub config: ProvisionerConfig,
    /// What runs instances.
    pub backends: BackendSettings,
}

impl ProvisionerArgs {
    /// Parses everything, with the legacy names from the process environment.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn resolve(&self) -> Result<ProvisionerSettings, ConfigError> {
        self.resolve_with(&|name| std::env::var(name).ok())
    }

    /// As [`ProvisionerArgs::resolve`], with the legacy names from `environment`.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn resolve_with(
        &self,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<ProvisionerSettings, ConfigError> {
        let mut problems = Problems::new(environment);
        let config = self.config(&mut problems);
        let backends = self.backends(&mut problems, environment);
        problems.finish(ProvisionerSettings { config, backends })
    }

    fn config(&self, problems: &mut Problems<'_>) -> ProvisionerConfig {
        let usual = Budget::default();
        let provision_timeout = problems.parse(
            "--provision-timeout",
            self.provision_timeout.clone(),
            &["PROVISION_TIMEOUT_SECONDS"],
            some_time,
        );
        let mut time = |setting, given: &Option<String>, usual| {
            let parsed = problems.parse(setting, given.clone(), &[], some_time);
            parsed.unwrap_or(usual)
        };
        let (window, grace) = (&self.restart_window, &self.stop_grace);
        let (sweep, lease) = (&self.instance_sweep, &self.instance_lease);
        ProvisionerConfig {
            provision_timeout,
            grace: time("--stop-grace", grace, Duration::from_secs(10)),
            sweep: time("--instance-sweep", sweep, Duration::from_secs(15)),
            lease: time("--instance-lease", lease, Duration::from_secs(10)),
            budget: Budget {
                window: time("--restart-window", window, usual.window),
                most: problems
                    .parse("--restart-budget", self.restart_budget.clone(), &[], count)
                    .unwrap_or(usual.most),
                ..usual
            },
            crash: problems
                .parse(
                    "--crash-at",
                    self.crash_at.clone(),
                    &[],
                    CrashPoint::from_str,
                )
                .unwrap_or_default(),
            templates: path(problems, "--templates", &self.templates),
        }
    }

    fn backends(
        &self,
        problems: &mut Problems<'_>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> BackendSettings {
        let chosen = problems
            .parse("--backends", self.backends.clone(), &[], kinds)
            .unwrap_or_else(|| vec![Kind::Process, Kind::Docker]);
        let images: BTreeMap<String, String> = problems
            .parse("--images", self.images.clone(), &[], images)
            .unwrap_or_default();
        let limits = TierLimits::from_variables(environment).unwrap_or_else(|wrong| {
            for problem in wrong {
                if let Some((name, problem)) = problem.split_once(": ") {
                    problems.add(name, problem);
                }
            }
            TierLimits::default()
        });
        let shared = Shared {
            images,
            limits,
            allow_privileged: self.allow_privileged,
            for_pods: chosen.contains(&Kind::Kubernetes),
        };
        BackendSettings {
            chosen,
            process_root: path(problems, "--process-root", &self.process_root),
            process_program: path(problems, "--process-program", &self.process_program),
            docker: self.docker.settings(problems, &shared),
            kubernetes: self.kubernetes.settings(problems, &shared),
        }
    }
}

/// What containers and pods have in common.
struct Shared {
    /// By runtime.
    images: BTreeMap<String, String>,
    limits: TierLimits,
    allow_privileged: bool,
    /// Whether there will be pods, so that what is said of them matters.
    for_pods: bool,
}

fn path(problems: &Problems<'_>, setting: &'static str, given: &Option<String>) -> Option<PathBuf> {
    let found = problems.first(setting, given.clone(), &[]);
    found.map(|(_, path)| path.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::backend::Tier;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn without_a_word_processes_and_containers_run_and_nothing_reaches_the_host() {
        let settings = ProvisionerArgs::default().resolve_with(&nothing).unwrap();
        assert_eq!(settings.backends.chosen, [Kind::Process, Kind::Docker]);
        let timeout = |runtime| settings.config.provision_timeout(runtime).as_secs();
        assert_eq!((timeout("crewai"), timeout("hermes")), (600, 1800));
        assert_eq!(settings.config.budget, Budget::default());
        assert!(!settings.backends.docker.allow_privileged);
        assert!(!settings.backends.kubernetes.allow_privileged);
        assert!(!settings.backends.kubernetes.allow_node_folders);
        assert_eq!(settings.backends.docker.runtimes.len(), 8);
    }

    #[test]
    fn containers_and_pods_share_images_limits_and_privileges() {
        let args = ProvisionerArgs {
            backends: Some("kubernetes, docker,docker".into()),
            images: Some("candor-echo=here/echo:1, langgraph=registry:5000/lg@sha256:ab".into()),
            allow_privileged: true,
            restart_budget: Some("5".into()),
            ..ProvisionerArgs::default()
        };
        let legacy = |name: &str| match name {
            "TIER2_MEMORY_MB" => Some("256".to_owned()),
            "TIER4_CPU_SHARES" => Some("1536".to_owned()),
            "PROVISION_TIMEOUT_SECONDS" => Some("90".to_owned()),
            "MOLECULE_IMAGE_PLATFORM" => Some("linux/amd64".to_owned()),
            _ => None,
        };
        let settings = args.resolve_with(&legacy).unwrap();
        let (docker, pods) = (&settings.backends.docker, &settings.backends.kubernetes);
        assert_eq!(settings.backends.chosen, [Kind::Kubernetes, Kind::Docker]);
        assert_eq!(docker.images, pods.images);
        assert_eq!(pods.images["langgraph"], "registry:5000/lg@sha256:ab");
        assert!(docker.runtimes.contains("candor-echo"), "it has an image");
        assert!(docker.runtimes.contains("hermes"), "as without the table");
        assert!(docker.allow_privileged && pods.allow_privileged);
        assert_eq!(docker.limits.of(Tier::T2).memory, 256 * 1024 * 1024);
        assert_eq!(pods.limits(Tier::T2).memory_mib, 256);
        assert_eq!(pods.limits(Tier::T4).cpu_milli, 1_500);
        assert_eq!(docker.image_platform.as_deref(), Some("linux/amd64"));
        for runtime in ["crewai", "hermes"] {
            let timeout = settings.config.provision_timeout(runtime);
            assert_eq!(timeout, Duration::from_secs(90));
        }
        assert_eq!(settings.config.budget.most, 5);
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let args = ProvisionerArgs {
            backends: Some("kubernetes,podman".into()),
            images: Some("langgraph".into()),
            provision_timeout: Some("0".into()),
            restart_budget: Some("many".into()),
            docker: DockerArgs {
                docker_host_mounts: Some("relative".into()),
                image_platform: Some("amd64".into()),
                pull_deadline: Some("long".into()),
                ..DockerArgs::default()
            },
            kubernetes: KubernetesArgs {
                kubernetes_pull: Some("sometimes".into()),
                kubernetes_account: Some("root".into()),
                kubernetes_access: Some("many".into()),
                ..KubernetesArgs::default()
            },
            ..ProvisionerArgs::default()
        };
        let legacy = |name: &str| (name == "TIER3_MEMORY_MB").then(|| "lots".to_owned());
        let told = args.resolve_with(&legacy).unwrap_err().to_string();
        for setting in [
            "--backends: `podman`",
            "--images: `langgraph`",
            "--provision-timeout: ",
            "--restart-budget: `many`",
            "--docker-host-mounts: `relative`",
            "--image-platform: `amd64`",
            "--pull-deadline: `long`",
            "--kubernetes-pull: `sometimes`",
            "--kubernetes-account: `root`",
            "--kubernetes-access: `many`",
            "TIER3_MEMORY_MB: `lots`",
        ] {
            assert!(told.contains(setting), "{setting} in {told}");
        }
    }

    #[test]
    fn what_no_cluster_would_take_is_refused_where_pods_are_wanted() {
        let mut args = ProvisionerArgs {
            kubernetes: KubernetesArgs {
                kubernetes_namespace: Some("Not A Name".into()),
                ..KubernetesArgs::default()
            },
            ..ProvisionerArgs::default()
        };
        assert!(args.resolve_with(&nothing).is_ok(), "nobody uses it");
        args.backends = Some("kubernetes".into());
        let told = args.resolve_with(&nothing).unwrap_err().to_string();
        assert!(told.contains("Not A Name"), "{told}");
    }
}
