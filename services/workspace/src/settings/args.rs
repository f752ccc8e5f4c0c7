//! The flags and variables, as text; `Args::resolve` parses.

use candor_process::config::TelemetryArgs;
use clap::{Parser, Subcommand};

/// An agent that says when it is wedged: the runtime of a workspace, or a sidecar beside any agent.
///
/// What the workspace is comes from `config.yaml` in --configs-dir; its token from
/// `.auth_token` there. Flags go over variables, variables over the file.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "candor-workspace", version)]
pub struct Args {
    /// What to do instead of running the agent.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The workspace's id, a UUID [env alias: WORKSPACE_ID].
    #[arg(long, env = "CANDOR_WORKSPACE_ID", value_name = "UUID", global = true)]
    pub workspace_id: Option<String>,
    /// The platform's HTTP address [env alias: PLATFORM_URL] [default: http://127.0.0.1:8080].
    #[arg(long, env = "CANDOR_PLATFORM_URL", value_name = "URL", global = true)]
    pub platform: Option<String>,
    /// The folder with config.yaml and .auth_token [env alias: CONFIGS_DIR] [default: /configs].
    #[arg(long, env = "CANDOR_CONFIGS_DIR", value_name = "DIR", global = true)]
    pub configs_dir: Option<String>,
    /// The registry's gRPC address, http://host:port: beats go on a stream there, not over HTTP.
    #[arg(long, env = "CANDOR_PLATFORM_GRPC", value_name = "URL")]
    pub platform_grpc: Option<String>,
    /// Who does the work: claude-code, command, echo or proxy [default: the runtime of config.yaml].
    #[arg(long, env = "CANDOR_EXECUTOR", value_name = "NAME")]
    pub executor: Option<String>,
    /// Where A2A is served [default: 127.0.0.1:8000].
    #[arg(long, env = "CANDOR_LISTEN", value_name = "ADDR")]
    pub listen: Option<String>,
    /// The address that is registered, where it is not the one that is listened on.
    #[arg(long, env = "CANDOR_ADVERTISE", value_name = "URL")]
    pub advertise: Option<String>,
    /// Admin listener: /healthz, /readyz, /metrics [default: none].
    #[arg(long, env = "CANDOR_ADMIN", value_name = "ADDR")]
    pub admin: Option<String>,
    /// Time between beats, until the platform asks for another one [default: 30s].
    #[arg(long, env = "CANDOR_HEARTBEAT_INTERVAL", value_name = "DURATION")]
    pub heartbeat_interval: Option<String>,
    /// Time between looks for results of delegations [default: 30s].
    #[arg(long, env = "CANDOR_INBOX_INTERVAL", value_name = "DURATION")]
    pub inbox_interval: Option<String>,
    /// Shortest time between two messages to the agent about such results [default: 60s].
    #[arg(long, env = "CANDOR_INBOX_COOLDOWN", value_name = "DURATION")]
    pub inbox_cooldown: Option<String>,
    /// Longest turn of the agent [default: 30m, or runtime_config.timeout of config.yaml].
    #[arg(long, env = "CANDOR_TURN_TIMEOUT", value_name = "DURATION")]
    pub turn_timeout: Option<String>,
    /// Turns that run at a time, for command and proxy [default: 1 and 16].
    #[arg(long, env = "CANDOR_CONCURRENCY", value_name = "N")]
    pub concurrency: Option<String>,
    /// claude-code: the CLI [default: claude].
    #[arg(long, env = "CANDOR_CLAUDE_BIN", value_name = "PATH")]
    pub claude_bin: Option<String>,
    /// claude-code: how long the CLI may take to answer `initialize` [default: 60s].
    #[arg(long, env = "CANDOR_CLAUDE_INIT_TIMEOUT", value_name = "DURATION")]
    pub claude_init_timeout: Option<String>,
    /// claude-code: the CLI's permission mode [default: bypassPermissions].
    #[arg(long, env = "CANDOR_CLAUDE_PERMISSION_MODE", value_name = "MODE")]
    pub claude_permission_mode: Option<String>,
    /// command: the program and its arguments, split at blanks; no shell reads it.
    #[arg(long, env = "CANDOR_COMMAND", value_name = "COMMAND")]
    pub program: Option<String>,
    /// proxy: the agent's address.
    #[arg(long, env = "CANDOR_AGENT_URL", value_name = "URL")]
    pub agent_url: Option<String>,
    /// proxy: how often the agent is asked whether it answers [default: 30s].
    #[arg(long, env = "CANDOR_CANARY_EVERY", value_name = "DURATION")]
    pub canary_every: Option<String>,
    /// proxy: how long it may take to answer that [default: 10s].
    #[arg(long, env = "CANDOR_CANARY_TIMEOUT", value_name = "DURATION")]
    pub canary_timeout: Option<String>,
    /// proxy: how long a call may bring nothing, in a stream no data [default: 300s].
    #[arg(long, env = "CANDOR_AGENT_IDLE_TIMEOUT", value_name = "DURATION")]
    pub agent_idle_timeout: Option<String>,
    /// How long turns in progress may take to end after a signal [default: 20s].
    #[arg(long, env = "CANDOR_DRAIN_DEADLINE", value_name = "DURATION")]
    pub drain_deadline: Option<String>,
    /// Logs and traces.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
    /// One line of JSON on standard output when ready.
    #[arg(long)]
    pub json: bool,
}

/// What the program does instead of running the agent.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// The delegation tools, as an MCP server on standard input and output.
    Mcp,
}
