//! The container of a plan, whole, before anything is asked of the engine.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, EndpointSettings, HostConfig, HostConfigLogConfig, NetworkingConfig,
    PortBinding, RestartPolicy, RestartPolicyNameEnum,
};

use super::engine::Connection;
use super::mounts::{OWN_CLAUDE, SESSIONS_VARIABLE, binds, sessions};
use super::names::{EPOCH, Mark, Names};
use super::settings::DockerSettings;
use super::user::User;
use crate::backend::{BackendError, Plan, Tier};

/// Where agents listen.
pub(super) const PORT: u16 = 8000;
/// The same, as engines write it.
pub(super) const PORT_KEY: &str = "8000/tcp";
/// A sandbox's only writable folder beside `/configs`; anybody's, whoever the image runs as.
const SANDBOX_TMP: &str = "rw,noexec,nosuid,size=64m,mode=1777";
/// What an image that starts as root needs to become its agent.
const STEP_DOWN: [&str; 6] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "KILL",
    "SETGID",
    "SETUID",
];
/// What an agent may write to its log before the oldest goes.
const LOG: [(&str, &str); 2] = [("max-size", "10m"), ("max-file", "3")];
/// How the legacy platform names the machine that the engine runs on.
pub const HOST_INSIDE: &str = "host.docker.internal";

/// Whether the tier is root on the host.
pub(super) fn is_privileged(tier: Tier) -> bool {
    matches!(tier, Tier::T3 | Tier::T4)
}

/// Refuses what the settings or the engine would not let through, with the fix.
///
/// # Errors
/// [`BackendError::Refused`].
pub(super) fn check(plan: &Plan, settings: &DockerSettings) -> Result<(), BackendError> {
    if is_privileged(plan.tier) && !settings.allow_privileged {
        return Err(BackendError::Refused(format!(
            "tier {} is root on the host and is not allowed here; set --allow-privileged (CANDOR_ALLOW_PRIVILEGED=true), or choose tier 1 or 2",
            number(plan.tier)
        )));
    }
    let wrong = plan.env.iter().find(|(name, value)| {
        name.is_empty() || name.contains(['=', '\0']) || value.expose().contains('\0')
    });
    if let Some((name, _)) = wrong {
        return Err(BackendError::Refused(format!(
            "{name:?} cannot be a variable of a container; delete that secret"
        )));
    }
    binds(plan, settings).map(drop)
}

/// The body of the request that makes the container.
///
/// `gateway` is another address of the engine's machine, beside the engine's own word for
/// it.
///
/// # Errors
/// As [`check`].
pub(super) fn container(
    plan: &Plan,
    settings: &DockerSettings,
    connection: &Connection,
    user: &User,
    gateway: Option<&str>,
) -> Result<ContainerCreateBody, BackendError> {
    let name = Names::of(plan.workspace).container;
    let mut labels = Mark::of(&settings.installation).labels(plan.workspace);
    labels.insert(EPOCH.to_owned(), plan.epoch.to_string());
    let on_the_host = plan.tier == Tier::T4;
    let endpoint = EndpointSettings {
        aliases: Some(vec![name.clone()]),
        ..EndpointSettings::default()
    };
    Ok(ContainerCreateBody {
        // What a runtime calls itself when it registers; found by name in the network.
        hostname: (!on_the_host).then(|| name.clone()),
        env: Some(environment(plan)),
        image: Some(image(plan, settings)),
        labels: Some(labels),
        exposed_ports: Some(vec![PORT_KEY.to_owned()]),
        host_config: Some(HostConfig {
            extra_hosts: finds_the_host(plan).then(|| hosts(gateway)),
            ..host(plan, settings, connection, user)?
        }),
        networking_config: (!on_the_host).then(|| NetworkingConfig {
            endpoints_config: Some(HashMap::from([(settings.network.clone(), endpoint)])),
        }),
        ..ContainerCreateBody::default()
    })
}

/// The plan's environment, and where the session's volume is.
fn environment(plan: &Plan) -> Vec<String> {
    let all = plan.env.iter();
    let mut all: Vec<String> = all
        .map(|(name, value)| format!("{name}={}", value.expose()))
        .collect();
    if plan.runtime == OWN_CLAUDE
        && !plan.env.contains_key(SESSIONS_VARIABLE)
        && let Some(sessions) = sessions(plan)
    {
        all.push(format!("{SESSIONS_VARIABLE}={sessions}"));
    }
    all
}

/// The image of a plan.
pub(super) fn image(plan: &Plan, settings: &DockerSettings) -> String {
    let chosen = plan.image.clone();
    chosen.unwrap_or_else(|| settings.image_of(&plan.runtime))
}

fn host(
    plan: &Plan,
    settings: &DockerSettings,
    connection: &Connection,
    user: &User,
) -> Result<HostConfig, BackendError> {
    let limits = settings
        .limits
        .of(plan.tier)
        .on_a_machine_of(connection.cpus);
    let on_the_host = plan.tier == Tier::T4;
    let base = HostConfig {
        binds: Some(binds(plan, settings)?),
        memory: Some(limits.memory),
        // No swap on top: a limit that only slows down is none.
        memory_swap: Some(limits.memory),
        nano_cpus: Some(limits.nano_cpus),
        pids_limit: Some(limits.pids),
        network_mode: Some(if on_the_host {
            "host".to_owned()
        } else {
            settings.network.clone()
        }),
        port_bindings: (!on_the_host && !settings.same_network).then(published),
        // Restarts are the reconciler's: each has a number, a token, and a place in the
        // budget. An engine that restarts by itself hides a crash loop.
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        log_config: connection.logs_to_files.then(bounded_log),
        ..HostConfig::default()
    };
    Ok(match plan.tier {
        Tier::T1 => sandboxed(base, user),
        Tier::T2 => base,
        Tier::T3 | Tier::T4 => HostConfig {
            privileged: Some(true),
            pid_mode: Some("host".to_owned()),
            ..base
        },
    })
}

/// Whether the container has to find the engine's machine by name.
pub(super) fn finds_the_host(plan: &Plan) -> bool {
    plan.platform_url.contains(HOST_INSIDE)
}

/// The engine's machine in the container's `/etc/hosts`; what is no address there is
/// passed over by whoever reads it.
fn hosts(gateway: Option<&str>) -> Vec<String> {
    std::iter::once("host-gateway")
        .chain(gateway)
        .map(|address| format!("{HOST_INSIDE}:{address}"))
        .collect()
}

fn sandboxed(base: HostConfig, user: &User) -> HostConfig {
    HostConfig {
        readonly_rootfs: Some(true),
        tmpfs: Some(HashMap::from([("/tmp".to_owned(), SANDBOX_TMP.to_owned())])),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: user.is_root().then(|| STEP_DOWN.map(str::to_owned).into()),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        ..base
    }
}

/// On this machine only, at a port that is free.
fn published() -> HashMap<String, Option<Vec<PortBinding>>> {
    let binding = PortBinding {
        host_ip: Some("127.0.0.1".to_owned()),
        host_port: Some(String::new()),
    };
    HashMap::from([(PORT_KEY.to_owned(), Some(vec![binding]))])
}

fn bounded_log() -> HostConfigLogConfig {
    let config = LOG.map(|(name, value)| (name.to_owned(), value.to_owned()));
    HostConfigLogConfig {
        typ: Some("json-file".to_owned()),
        config: Some(config.into()),
    }
}

fn number(tier: Tier) -> u8 {
    match tier {
        Tier::T1 => 1,
        Tier::T2 => 2,
        Tier::T3 => 3,
        Tier::T4 => 4,
    }
}
