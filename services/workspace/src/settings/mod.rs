//! What the process is told: flags, then variables, then `config.yaml`; parsed once,
//! all errors reported together.

mod args;
mod config_yaml;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use candor_kernel::WorkspaceId;
use candor_process::config::{ConfigError, Problems, address, parse_duration};
use candor_process::telemetry::TelemetrySettings;
use url::Url;

pub use self::args::{Args, Command};
pub use self::config_yaml::ConfigYaml;
use crate::executor::claude::PermissionMode;
use crate::heartbeat::HeartbeatSettings;

/// The legacy runtime's port.
const PORT: u16 = 8000;
/// The longest time that any setting may be.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// The platform's ceiling of one call (design section 9).
const TURN: Duration = Duration::from_secs(30 * 60);

/// Who this process is, and where what it keeps is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The platform's HTTP address.
    pub platform: Url,
    /// The folder with `config.yaml` and `.auth_token`.
    pub configs_dir: PathBuf,
}

/// Who does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutorKind {
    /// The Claude CLI.
    ClaudeCode,
    /// A program for each turn.
    Command,
    /// Says back what it is told.
    Echo,
    /// An agent beside this process.
    Proxy,
}

/// Everything, typed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who this process is.
    pub identity: Identity,
    /// Who does the work.
    pub executor: ExecutorKind,
    /// Where A2A is served.
    pub listen: SocketAddr,
    /// Where health and metrics are served, if anywhere.
    pub admin: Option<SocketAddr>,
    /// The address that is registered, if it is another one.
    pub advertise: Option<Url>,
    /// How beats are sent.
    pub heartbeat: HeartbeatSettings,
    /// Pause between looks for results of delegations.
    pub inbox_interval: Duration,
    /// Shortest time between messages to the agent about them.
    pub inbox_cooldown: Duration,
    /// Longest turn.
    pub turn_timeout: Duration,
    /// Turns at a time; the executor's default without.
    pub concurrency: Option<usize>,
    /// The Claude CLI.
    pub claude: ClaudeArgs,
    /// The program of `command`; empty for the others.
    pub program: Vec<String>,
    /// The agent of `proxy`.
    pub agent: Option<AgentArgs>,
    /// How long turns in progress may take to end.
    pub drain_deadline: Duration,
    /// Logs and traces.
    pub telemetry: TelemetrySettings,
    /// What `config.yaml` says.
    pub config: ConfigYaml,
    /// The agent's instructions.
    pub system_prompt: Option<String>,
    /// What it is told once.
    pub initial_prompt: Option<String>,
}

/// How the Claude CLI is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaudeArgs {
    /// The program.
    pub bin: String,
    /// How long it may take to answer `initialize`.
    pub init_timeout: Duration,
    /// What the agent may do.
    pub permission_mode: PermissionMode,
}

/// The agent that a sidecar stands beside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentArgs {
    /// Where it is.
    pub url: Url,
    /// How often it is asked whether it answers.
    pub canary_every: Duration,
    /// How long it may take to answer that.
    pub canary_timeout: Duration,
    /// How long a call may bring nothing.
    pub idle_timeout: Duration,
}

impl Args {
    /// Who this process is, and its logs and traces, for the tools, which need no more.
    /// Nobody watches their log: only what is wrong is said, unless asked for.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn tools(&self) -> Result<(Identity, TelemetrySettings), ConfigError> {
        let environment = |name: &str| std::env::var(name).ok();
        let mut problems = Problems::new(&environment);
        let identity = self.read_identity(&mut problems);
        let mut telemetry = self.telemetry.resolve(&mut problems);
        telemetry.service_name = "candor-workspace-mcp";
        if self.telemetry.log.is_none() {
            "warn".clone_into(&mut telemetry.filter);
        }
        problems.finish((identity, telemetry))
    }

    /// Parses everything, with the legacy names from the process' environment.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn resolve(&self) -> Result<Settings, ConfigError> {
        self.resolve_with(&|name| std::env::var(name).ok())
    }

    /// As [`Args::resolve`], with the legacy names from `environment`.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn resolve_with(
        &self,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Settings, ConfigError> {
        let mut problems = Problems::new(environment);
        let identity = self.read_identity(&mut problems);
        let configs_dir = identity.configs_dir.clone();
        let config = ConfigYaml::read(&configs_dir).unwrap_or_else(|problem| {
            problems.add("--configs-dir", problem);
            ConfigYaml::default()
        });
        for name in config.missing_env(environment) {
            let problem = format!("required by config.yaml and not set: {name}");
            problems.add("runtime_config.required_env", problem);
        }
        let executor = self.read_executor(&mut problems, &config.runtime);
        let duration = |problems: &mut Problems<'_>, name, given: &Option<String>| {
            problems.parse(name, given.clone(), &[], some_time)
        };
        let settings = Settings {
            executor,
            listen: self.read_listen(&mut problems, config.a2a.port),
            admin: problems.parse("--admin", self.admin.clone(), &[], address),
            advertise: problems.parse("--advertise", self.advertise.clone(), &[], http_url),
            heartbeat: self.read_heartbeat(&mut problems),
            inbox_interval: duration(&mut problems, "--inbox-interval", &self.inbox_interval)
                .unwrap_or(Duration::from_secs(30)),
            inbox_cooldown: duration(&mut problems, "--inbox-cooldown", &self.inbox_cooldown)
                .unwrap_or(Duration::from_secs(60)),
            turn_timeout: duration(&mut problems, "--turn-timeout", &self.turn_timeout)
                .or(config.turn_timeout())
                .unwrap_or(TURN),
            concurrency: problems.parse("--concurrency", self.concurrency.clone(), &[], positive),
            claude: self.read_claude(&mut problems),
            program: self.read_program(&mut problems, executor),
            agent: self.read_agent(&mut problems, executor),
            drain_deadline: duration(&mut problems, "--drain-deadline", &self.drain_deadline)
                .unwrap_or(Duration::from_secs(20)),
            telemetry: TelemetrySettings {
                service_name: "candor-workspace",
                ..self.telemetry.resolve(&mut problems)
            },
            system_prompt: config
                .system_prompt(&configs_dir)
                .unwrap_or_else(|problem| {
                    problems.add("prompt_files", problem);
                    None
                }),
            initial_prompt: config
                .initial_prompt(&configs_dir)
                .unwrap_or_else(|problem| {
                    problems.add("initial_prompt_file", problem);
                    None
                }),
            identity,
            config,
        };
        problems.finish(settings)
    }

    fn read_identity(&self, problems: &mut Problems<'_>) -> Identity {
        let id = problems.first(
            "--workspace-id",
            self.workspace_id.clone(),
            &["WORKSPACE_ID"],
        );
        let workspace = match id {
            Some((name, text)) => text.trim().parse().unwrap_or_else(|_| {
                problems.add(name, format!("`{text}` is no UUID"));
                nobody()
            }),
            None => {
                problems.add("--workspace-id", "which workspace this is, is not said");
                nobody()
            }
        };
        let legacy = &["PLATFORM_URL"];
        let platform = problems.parse("--platform", self.platform.clone(), legacy, http_url);
        let folder = problems.first("--configs-dir", self.configs_dir.clone(), &["CONFIGS_DIR"]);
        Identity {
            workspace,
            platform: platform.unwrap_or_else(default_platform),
            configs_dir: folder.map_or_else(|| "/configs".into(), |(_, path)| path.into()),
        }
    }

    fn read_executor(&self, problems: &mut Problems<'_>, runtime: &str) -> ExecutorKind {
        let given = problems.first("--executor", self.executor.clone(), &[]);
        let (name, text) = match &given {
            Some((name, text)) => (*name, text.trim()),
            None => ("runtime of config.yaml", runtime),
        };
        match text.strip_prefix("candor-").unwrap_or(text) {
            "claude-code" => ExecutorKind::ClaudeCode,
            "command" => ExecutorKind::Command,
            "echo" => ExecutorKind::Echo,
            "proxy" => ExecutorKind::Proxy,
            "" => {
                problems.add(
                    "--executor",
                    "who does the work? claude-code, command, echo or proxy",
                );
                ExecutorKind::Echo
            }
            other => {
                let known = "claude-code, command, echo and proxy are known";
                problems.add(name, format!("`{other}` is no executor: {known}"));
                ExecutorKind::Echo
            }
        }
    }

    fn read_listen(&self, problems: &mut Problems<'_>, port: Option<u16>) -> SocketAddr {
        let default = SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or(PORT)));
        problems
            .parse("--listen", self.listen.clone(), &[], address)
            .unwrap_or(default)
    }

    fn read_heartbeat(&self, problems: &mut Problems<'_>) -> HeartbeatSettings {
        let plain = |text: &str| match http_url(text) {
            Ok(url) if url.scheme() == "http" => Ok(url),
            Ok(_) => Err(format!(
                "`{text}`: the stream of beats goes over http:// only"
            )),
            Err(error) => Err(error),
        };
        let interval = self.heartbeat_interval.clone();
        HeartbeatSettings {
            interval: problems
                .parse("--heartbeat-interval", interval, &[], some_time)
                .unwrap_or(Duration::from_secs(30)),
            grpc: problems.parse("--platform-grpc", self.platform_grpc.clone(), &[], plain),
        }
    }

    fn read_claude(&self, problems: &mut Problems<'_>) -> ClaudeArgs {
        let timeout = self.claude_init_timeout.clone();
        let permission_mode = self.claude_permission_mode.clone();
        ClaudeArgs {
            bin: problems
                .first("--claude-bin", self.claude_bin.clone(), &[])
                .map_or_else(|| "claude".to_owned(), |(_, bin)| bin),
            init_timeout: problems
                .parse("--claude-init-timeout", timeout, &[], some_time)
                .unwrap_or(Duration::from_secs(60)),
            permission_mode: problems
                .parse("--claude-permission-mode", permission_mode, &[], str::parse)
                .unwrap_or(PermissionMode::BypassPermissions),
        }
    }

    fn read_program(&self, problems: &mut Problems<'_>, executor: ExecutorKind) -> Vec<String> {
        let words: Vec<String> = self
            .program
            .as_deref()
            .unwrap_or_default()
            .split_whitespace()
            .map(ToOwned::to_owned)
            .collect();
        if executor == ExecutorKind::Command && words.is_empty() {
            problems.add("--program", "the executor `command` needs a program");
        }
        words
    }

    fn read_agent(&self, problems: &mut Problems<'_>, executor: ExecutorKind) -> Option<AgentArgs> {
        let url = problems.parse("--agent-url", self.agent_url.clone(), &[], http_url);
        if executor == ExecutorKind::Proxy && url.is_none() {
            problems.add(
                "--agent-url",
                "the executor `proxy` needs an agent, as http://localhost:9999",
            );
        }
        let mut duration = |name, given: &Option<String>, default: u64| {
            problems
                .parse(name, given.clone(), &[], some_time)
                .unwrap_or(Duration::from_secs(default))
        };
        let canary_every = duration("--canary-every", &self.canary_every, 30);
        let canary_timeout = duration("--canary-timeout", &self.canary_timeout, 10);
        let idle_timeout = duration("--agent-idle-timeout", &self.agent_idle_timeout, 300);
        Some(AgentArgs {
            url: url?,
            canary_every,
            canary_timeout,
            idle_timeout,
        })
    }
}

impl Settings {
    /// The address to register: the one that was given, else the one that is listened
    /// on. Loopback is `localhost`, which platforms accept as an address; every
    /// interface is this host's name, as the legacy runtime has it.
    #[must_use]
    pub fn url(&self, listening: SocketAddr) -> String {
        if let Some(url) = &self.advertise {
            return url.as_str().trim_end_matches('/').to_owned();
        }
        let port = listening.port();
        match listening.ip() {
            ip if ip.is_loopback() => format!("http://localhost:{port}"),
            ip if ip.is_unspecified() => format!("http://{}:{port}", host_name()),
            IpAddr::V4(ip) => format!("http://{ip}:{port}"),
            IpAddr::V6(ip) => format!("http://[{ip}]:{port}"),
        }
    }
}

/// In a container, the name under which others of its network find it.
fn host_name() -> String {
    let of_file = || std::fs::read_to_string("/etc/hostname").ok();
    std::env::var("HOSTNAME")
        .ok()
        .or_else(of_file)
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".into())
}

/// Stands in where the id is wrong, which is reported.
fn nobody() -> WorkspaceId {
    WorkspaceId::from_uuid(uuid::Uuid::nil())
}

fn default_platform() -> Url {
    // A constant that parses; the alternative would be a panic.
    Url::parse("http://127.0.0.1:8080").unwrap_or_else(|_| unreachable!())
}

fn http_url(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if ["http", "https"].contains(&url.scheme()) && url.has_host() => Ok(url),
        _ => Err(format!("`{text}` is no http:// or https:// URL")),
    }
}

/// A duration that is one, and no longer than a day.
fn some_time(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text).map_err(|error| error.to_string())?;
    if duration.is_zero() || duration > LONGEST {
        return Err(format!(
            "`{text}`: more than nothing and at most a day is wanted"
        ));
    }
    Ok(duration)
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|n| *n > 0)
        .ok_or_else(|| format!("`{text}` is no positive number"))
}

#[cfg(test)]
mod tests;
