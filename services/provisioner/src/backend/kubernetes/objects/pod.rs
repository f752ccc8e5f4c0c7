//! The Pod of one instance.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EnvVar, EnvVarSource, LocalObjectReference, Pod,
    PodSecurityContext, PodSpec, ResourceRequirements, SeccompProfile, SecretKeySelector,
    SecurityContext,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::super::super::{BackendError, Tier};
use super::super::names::{PORT, for_people};
use super::super::settings::Pull;
use super::{Made, secret};

mod volumes;

/// The grace of a Pod that somebody else deletes; ours says its own.
const GRACE_S: i64 = 30;
/// Lays out what the instance reads.
const LAY_OUT: &str = include_str!("lay_out.sh");
/// Where the Claude CLI keeps its session. On the volume, since a Pod's home goes.
const SESSION: &str = "/configs/.candor/claude";

/// The Pod of the plan's instance. Nobody restarts it but the platform.
pub(in super::super) fn pod(made: &Made<'_>) -> Result<Pod, BackendError> {
    made.check()?;
    let plan = made.plan;
    let mut metadata = made
        .names
        .meta_of(plan.epoch, made.names.instance(plan.epoch));
    metadata.annotations = Some(for_people(&plan.name));
    let pull_secrets = made.settings.pull_secrets.iter();
    let pull_secrets: Vec<_> = pull_secrets
        .map(|name| LocalObjectReference { name: name.clone() })
        .collect();
    let on_node_network = (plan.tier == Tier::T4).then_some(true);
    Ok(Pod {
        metadata,
        spec: Some(PodSpec {
            restart_policy: Some("Never".into()),
            termination_grace_period_seconds: Some(GRACE_S),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            host_pid: made.is_privileged().then_some(true),
            host_network: on_node_network,
            dns_policy: on_node_network.map(|_| "ClusterFirstWithHostNet".into()),
            security_context: Some(account(made)),
            image_pull_secrets: (!pull_secrets.is_empty()).then_some(pull_secrets),
            volumes: Some(volumes::volumes(made)),
            init_containers: Some(vec![layer_out(made)?]),
            containers: vec![agent(made)?],
            ..PodSpec::default()
        }),
        ..Pod::default()
    })
}

/// Who it runs as. A privileged tier runs as whom its image names.
fn account(made: &Made<'_>) -> PodSecurityContext {
    let account = (!made.is_privileged()).then_some(made.settings.account);
    PodSecurityContext {
        run_as_non_root: (!made.is_privileged()).then_some(true),
        run_as_user: account,
        run_as_group: account,
        fs_group: Some(made.settings.account),
        // Volumes with many files are not gone through at each start.
        fs_group_change_policy: Some("OnRootMismatch".into()),
        seccomp_profile: (!made.is_privileged()).then(|| SeccompProfile {
            type_: "RuntimeDefault".into(),
            ..SeccompProfile::default()
        }),
        ..PodSecurityContext::default()
    }
}

/// The agent itself.
fn agent(made: &Made<'_>) -> Result<Container, BackendError> {
    Ok(Container {
        name: "agent".into(),
        image: Some(made.image()?.to_owned()),
        image_pull_policy: Some(pull(made).into()),
        env: Some(environment(made)),
        ports: Some(vec![ContainerPort {
            name: Some("a2a".into()),
            container_port: i32::from(PORT),
            protocol: Some("TCP".into()),
            ..ContainerPort::default()
        }]),
        resources: Some(resources(made)),
        security_context: Some(rights(made)),
        // Its last words are kept with the Pod, 2 KiB of them; no logs have to be read.
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(volumes::of_agent(made)),
        ..Container::default()
    })
}

/// What runs before it: the same image, so that nothing else has to be pulled, and the
/// same account, so that what it lays out is the agent's own.
fn layer_out(made: &Made<'_>) -> Result<Container, BackendError> {
    let variable = |name: &str, value: &str| EnvVar {
        name: name.into(),
        value: Some(value.into()),
        ..EnvVar::default()
    };
    let reset = made.plan.reset_session.to_string();
    Ok(Container {
        name: "lay-out".into(),
        image: Some(made.image()?.to_owned()),
        image_pull_policy: Some(pull(made).into()),
        command: Some(["/bin/sh", "-c", LAY_OUT].map(str::to_owned).into()),
        env: Some(vec![
            variable("GENERATION", volumes::GENERATION),
            variable("CONFIGS", volumes::CONFIGS),
            variable("TOKEN_DIR", volumes::TOKEN_DIR),
            variable("RESET_SESSION", &reset),
        ]),
        resources: Some(resources(made)),
        security_context: Some(rights(made)),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(volumes::of_layer_out()),
        ..Container::default()
    })
}

fn pull(made: &Made<'_>) -> &'static str {
    match made.settings.pull {
        Pull::Always => "Always",
        Pull::IfNotPresent => "IfNotPresent",
        Pull::Never => "Never",
    }
}

/// The plan's environment, by reference into its Secret, and what a Pod adds: the name
/// under which the instance is reached, and where its session outlives it.
fn environment(made: &Made<'_>) -> Vec<EnvVar> {
    let plan = made.plan;
    let secret = made.names.instance(plan.epoch);
    let mut variables: BTreeMap<&str, EnvVar> = BTreeMap::new();
    let host = made.names.host();
    for (name, value) in [("HOSTNAME", host.as_str()), ("CLAUDE_CONFIG_DIR", SESSION)] {
        let variable = EnvVar {
            name: name.into(),
            value: Some(value.into()),
            ..EnvVar::default()
        };
        variables.insert(name, variable);
    }
    for name in plan.env.keys() {
        let source = EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.clone(),
                key: secret::variable(name),
                optional: Some(false),
            }),
            ..EnvVarSource::default()
        };
        let variable = EnvVar {
            name: name.clone(),
            value_from: Some(source),
            ..EnvVar::default()
        };
        variables.insert(name, variable);
    }
    variables.into_values().collect()
}

fn resources(made: &Made<'_>) -> ResourceRequirements {
    let limits = made.settings.limits(made.plan.tier);
    // A quarter is kept free for it; the rest it shares with its neighbours.
    let quantities = |share: u32| {
        BTreeMap::from([
            (
                "cpu".into(),
                Quantity(format!("{}m", limits.cpu_milli / share)),
            ),
            (
                "memory".into(),
                Quantity(format!("{}Mi", limits.memory_mib / share)),
            ),
            (
                "ephemeral-storage".into(),
                Quantity(format!("{}Mi", limits.disk_mib / share)),
            ),
        ])
    };
    ResourceRequirements {
        limits: Some(quantities(1)),
        requests: Some(quantities(4)),
        ..ResourceRequirements::default()
    }
}

fn rights(made: &Made<'_>) -> SecurityContext {
    let read_only = (made.plan.tier == Tier::T1).then_some(true);
    if made.is_privileged() {
        return SecurityContext {
            privileged: Some(true),
            ..SecurityContext::default()
        };
    }
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: read_only,
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".into()]),
            ..Capabilities::default()
        }),
        ..SecurityContext::default()
    }
}
