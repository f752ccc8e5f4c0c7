//! Flags and variables of pods.

use candor_process::config::Problems;
use clap::Args;
use clap::builder::FalseyValueParser;

use super::Shared;
use super::parsers::{access, account, port, pull, quantity, some_time, words};
use crate::backend::Tier;
use crate::backend::kubernetes::{Limits, PlatformPods, Settings};

/// The namespace of `deploy/kubernetes/provisioner`.
const NAMESPACE: &str = "candor-instances";
/// Stands where the installation will, so that the rest can be checked before.
const SOME_INSTALLATION: &str = "some";

/// Pods, as text.
#[derive(Debug, Clone, Default, Args)]
pub struct KubernetesArgs {
    /// The namespace of the instances, and of nothing else.
    #[arg(long, env = "CANDOR_KUBERNETES_NAMESPACE", value_name = "NAME")]
    pub kubernetes_namespace: Option<String>,
    /// When images are pulled: always, if-not-present or never.
    #[arg(long, env = "CANDOR_KUBERNETES_PULL", value_name = "WHEN")]
    pub kubernetes_pull: Option<String>,
    /// Secrets with credentials for the image registry, separated by commas.
    #[arg(long, env = "CANDOR_KUBERNETES_PULL_SECRETS", value_name = "LIST")]
    pub kubernetes_pull_secrets: Option<String>,
    /// The class of the volumes; the cluster's default without one.
    #[arg(long, env = "CANDOR_KUBERNETES_STORAGE_CLASS", value_name = "NAME")]
    pub kubernetes_storage_class: Option<String>,
    /// Who may mount a volume at a time: one-node or one-pod.
    #[arg(long, env = "CANDOR_KUBERNETES_ACCESS", value_name = "WHO")]
    pub kubernetes_access: Option<String>,
    /// Size of /configs.
    #[arg(long, env = "CANDOR_KUBERNETES_CONFIGS_SIZE", value_name = "SIZE")]
    pub kubernetes_configs_size: Option<String>,
    /// Size of /workspace.
    #[arg(long, env = "CANDOR_KUBERNETES_WORKSPACE_SIZE", value_name = "SIZE")]
    pub kubernetes_workspace_size: Option<String>,
    /// The account and the group that instances run as, by number.
    #[arg(long, env = "CANDOR_KUBERNETES_ACCOUNT", value_name = "N")]
    pub kubernetes_account: Option<String>,
    /// Mount folders of nodes as /workspace, where a workspace names one.
    #[arg(long, env = "CANDOR_KUBERNETES_NODE_FOLDERS", value_parser = FalseyValueParser::new())]
    pub kubernetes_node_folders: bool,
    /// The platform's own namespace.
    #[arg(
        long,
        env = "CANDOR_KUBERNETES_PLATFORM_NAMESPACE",
        value_name = "NAME"
    )]
    pub kubernetes_platform_namespace: Option<String>,
    /// The port of the platform's pods where instances call it.
    #[arg(long, env = "CANDOR_KUBERNETES_PLATFORM_PORT", value_name = "PORT")]
    pub kubernetes_platform_port: Option<String>,
    /// Further networks that instances may call, as 10.1.0.0/16, separated by commas.
    #[arg(long, env = "CANDOR_KUBERNETES_REACHABLE", value_name = "LIST")]
    pub kubernetes_reachable: Option<String>,
    /// Longest time until a new pod runs, with its image pulled and its node found.
    #[arg(
        long,
        env = "CANDOR_KUBERNETES_START_DEADLINE",
        value_name = "DURATION"
    )]
    pub kubernetes_start_deadline: Option<String>,
    /// Strike pods from the API that do not go, without their node's word.
    #[arg(long, env = "CANDOR_KUBERNETES_FORCE", value_parser = FalseyValueParser::new())]
    pub kubernetes_force: bool,
}

impl KubernetesArgs {
    /// The settings, without installation.
    pub(super) fn settings(&self, problems: &mut Problems<'_>, shared: &Shared) -> Settings {
        let namespace = text(
            problems,
            "--kubernetes-namespace",
            &self.kubernetes_namespace,
        )
        .unwrap_or_else(|| NAMESPACE.to_owned());
        let mut settings = Settings::new(SOME_INSTALLATION, namespace, shared.images.clone());
        settings.allow_privileged = shared.allow_privileged;
        settings.limits = [Tier::T1, Tier::T2, Tier::T3, Tier::T4]
            .map(|tier| (tier, limits(shared, tier, settings.limits(tier))))
            .into();
        settings.allow_node_folders = self.kubernetes_node_folders;
        settings.force_after_grace = self.kubernetes_force;
        self.images(problems, &mut settings);
        self.volumes(problems, &mut settings);
        self.platform(problems, &mut settings.platform);
        let given = self.kubernetes_start_deadline.clone();
        set(
            &mut settings.start_deadline,
            problems.parse("--kubernetes-start-deadline", given, &[], some_time),
        );
        let given = self.kubernetes_reachable.clone();
        set(
            &mut settings.reachable,
            problems.parse("--kubernetes-reachable", given, &[], words),
        );
        if shared.for_pods
            && let Err(problem) = settings.check()
        {
            problems.add("--backends kubernetes", problem);
        }
        settings
    }

    fn images(&self, problems: &mut Problems<'_>, settings: &mut Settings) {
        let given = self.kubernetes_pull.clone();
        set(
            &mut settings.pull,
            problems.parse("--kubernetes-pull", given, &[], pull),
        );
        let given = self.kubernetes_pull_secrets.clone();
        set(
            &mut settings.pull_secrets,
            problems.parse("--kubernetes-pull-secrets", given, &[], words),
        );
        let given = self.kubernetes_account.clone();
        set(
            &mut settings.account,
            problems.parse("--kubernetes-account", given, &[], account),
        );
    }

    fn volumes(&self, problems: &mut Problems<'_>, settings: &mut Settings) {
        settings.storage_class = text(
            problems,
            "--kubernetes-storage-class",
            &self.kubernetes_storage_class,
        );
        let given = self.kubernetes_access.clone();
        set(
            &mut settings.access,
            problems.parse("--kubernetes-access", given, &[], access),
        );
        let given = self.kubernetes_configs_size.clone();
        set(
            &mut settings.configs_size,
            problems.parse("--kubernetes-configs-size", given, &[], quantity),
        );
        let given = self.kubernetes_workspace_size.clone();
        set(
            &mut settings.workspace_size,
            problems.parse("--kubernetes-workspace-size", given, &[], quantity),
        );
    }

    fn platform(&self, problems: &mut Problems<'_>, platform: &mut PlatformPods) {
        set(
            &mut platform.namespace,
            text(
                problems,
                "--kubernetes-platform-namespace",
                &self.kubernetes_platform_namespace,
            ),
        );
        let given = self.kubernetes_platform_port.clone();
        set(
            &mut platform.port,
            problems.parse("--kubernetes-platform-port", given, &[], port),
        );
    }
}

fn set<T>(value: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *value = given;
    }
}

fn text(problems: &Problems<'_>, setting: &'static str, given: &Option<String>) -> Option<String> {
    let found = problems.first(setting, given.clone(), &[]);
    found.map(|(_, text)| text.trim().to_owned())
}

/// The limits that the legacy variables give, in a cluster's units.
fn limits(shared: &Shared, tier: Tier, usual: Limits) -> Limits {
    let given = shared.limits.of(tier);
    let whole = |number: i64| u32::try_from(number).unwrap_or(u32::MAX).max(1);
    Limits {
        memory_mib: whole(given.memory / (1024 * 1024)),
        cpu_milli: whole(given.nano_cpus / 1_000_000),
        ..usual
    }
}
