//! How the CLI is run.

use std::path::PathBuf;
use std::time::Duration;

use tokio::process::Command;

use super::permission::PermissionMode;

/// How the CLI is run.
#[derive(Debug, Clone)]
pub struct ClaudeSettings {
    /// The program: a path, or a name that is looked for in `PATH`.
    pub bin: String,
    /// How long it may take to answer `initialize`. The original's limit is 60 s.
    pub init_timeout: Duration,
    /// How long a turn may take, with all its attempts.
    pub turn_timeout: Duration,
    /// About how long the first wait before another attempt is; later ones double.
    pub backoff: Duration,
    /// The model, by name or alias; the CLI's own default without.
    pub model: Option<String>,
    /// What is appended to the CLI's system prompt.
    pub system_prompt: Option<String>,
    /// What the agent may do.
    pub permission_mode: PermissionMode,
    /// MCP servers that it may use: a path, or the JSON itself.
    pub mcp_config: Option<String>,
    /// Where it runs.
    pub working_dir: PathBuf,
    /// Where the session's id is kept, so that a new process goes on with it.
    pub session_file: PathBuf,
    /// Set in its environment, over what this process has itself.
    pub env: Vec<(String, String)>,
}

impl ClaudeSettings {
    /// The defaults: `claude` in `working_dir`; a minute for `initialize`, half an hour
    /// for a turn; nothing that the CLI asks leave for is allowed.
    #[must_use]
    pub fn new(working_dir: PathBuf, session_file: PathBuf) -> Self {
        Self {
            bin: "claude".to_owned(),
            init_timeout: Duration::from_secs(60),
            turn_timeout: Duration::from_secs(30 * 60),
            backoff: Duration::from_secs(2),
            model: None,
            system_prompt: None,
            permission_mode: PermissionMode::Default,
            mcp_config: None,
            working_dir,
            session_file,
            env: Vec::new(),
        }
    }

    /// The command of one turn.
    pub(super) fn command(&self, resume: Option<&str>) -> Command {
        let mut command = Command::new(&self.bin);
        command.args(["--output-format", "stream-json"]);
        command.args(["--input-format", "stream-json", "--verbose"]);
        // Without it the CLI denies by itself, and says so to the model only.
        command.args(["--permission-prompt-tool", "stdio"]);
        command.args(["--permission-mode", self.permission_mode.handed_on()]);
        let options = [
            ("--resume", resume),
            ("--model", self.model.as_deref()),
            ("--append-system-prompt", self.system_prompt.as_deref()),
            ("--mcp-config", self.mcp_config.as_deref()),
        ];
        for (option, value) in options {
            if let Some(value) = value {
                command.args([option, value]);
            }
        }
        command.current_dir(&self.working_dir);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// A variable of its environment.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let set = self.env.iter().rev().find(|(ours, _)| ours == name);
        set.map(|(_, value)| value.clone())
            .or_else(|| std::env::var(name).ok())
            .filter(|value| !value.is_empty())
    }
}
