//! Programs that the benchmark starts: ready by their JSON line, drained at the end.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::Result;

/// How long a start may take; a first start makes a Postgres cluster.
const READY: Duration = Duration::from_secs(90);
/// How long a program may take to end by itself.
const DRAIN: Duration = Duration::from_secs(25);
/// Between two looks at a program that ends.
const POLL: Duration = Duration::from_millis(5);
/// How much of a log a failure quotes, in lines.
const QUOTED: usize = 20;

/// A running program. Dropping it drains it.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    ready: Value,
    took: Duration,
    // Open for as long as it runs: a program may not survive a closed output.
    stdout: Option<Lines<BufReader<ChildStdout>>>,
}

/// Where programs are and where they log.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The folder of the binaries.
    pub binaries: PathBuf,
    /// The folder of the logs.
    pub logs: PathBuf,
}

impl Programs {
    /// A command for one of the binaries, with nothing of the surrounding
    /// environment that Candor reads.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        command.env_clear();
        for name in ["PATH", "HOME", "TMPDIR", "CANDOR_PG_BIN"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }

    /// Starts a program and waits for its `"ready":true` line.
    pub async fn start(&self, name: &str, command: Command) -> Result<Program> {
        let started = Instant::now();
        let mut program = self.spawn(name, command)?;
        let outcome = tokio::time::timeout(READY, program.readiness()).await;
        match outcome {
            Ok(Ok(())) => {
                program.took = started.elapsed();
                Ok(program)
            }
            Ok(Err(error)) => Err(self.failure(name, &error.to_string())),
            Err(_) => Err(self.failure(name, "not ready in time")),
        }
    }

    /// Starts a program that announces nothing.
    pub fn spawn(&self, name: &str, mut command: Command) -> Result<Program> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log(name))?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = tokio::process::Command::from(command)
            .spawn()
            .map_err(|error| format!("{name}: cannot be started: {error}"))?;
        let stdout = child.stdout.take().map(|out| BufReader::new(out).lines());
        Ok(Program {
            name: name.to_owned(),
            child,
            ready: Value::Null,
            took: Duration::ZERO,
            stdout,
        })
    }

    /// Runs a command to its end.
    pub async fn complete(&self, name: &str, command: Command) -> Result<()> {
        let mut program = self.spawn(name, command)?;
        match program.child.wait().await? {
            status if status.success() => Ok(()),
            status => Err(self.failure(name, &status.to_string())),
        }
    }

    /// What went wrong, with the last lines of the program's log.
    pub fn failure(&self, name: &str, what: &str) -> Box<dyn std::error::Error + Send + Sync> {
        let log = fs::read_to_string(self.log(name)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(QUOTED)..].join("\n");
        format!("{name}: {what}; its log ends with:\n{tail}").into()
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }
}

impl Program {
    /// An address that it announced.
    pub fn address(&self, listener: &str) -> Result<SocketAddr> {
        let announced = self.ready[listener].as_str().unwrap_or_default();
        announced
            .trim_start_matches("http://")
            .parse()
            .map_err(|_| format!("{}: announced no {listener} in {}", self.name, self.ready).into())
    }

    /// From its start to its line.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Its process id.
    pub fn pid(&self) -> Result<u32> {
        let pid = self.child.id();
        pid.ok_or_else(|| format!("{} has ended", self.name).into())
    }

    /// Fails when it has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("{} has ended: {status}", self.name).into()),
        }
    }

    /// Sends a signal and waits for the end; SIGKILL when it takes too long.
    pub fn stop(&mut self, signal: Signal) -> Result<ExitStatus> {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            // It may end between the two calls; the wait tells.
            kill(Pid::from_raw(pid), signal).ok();
        }
        let deadline = Instant::now() + DRAIN;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                self.child.start_kill()?;
                return Err(format!("{} did not end by itself", self.name).into());
            }
            std::thread::sleep(POLL);
        }
    }

    async fn readiness(&mut self) -> Result<()> {
        let Some(stdout) = &mut self.stdout else {
            return Err("no output".into());
        };
        while let Some(line) = stdout.next_line().await? {
            let ready: Value = serde_json::from_str(&line).unwrap_or_default();
            if ready["ready"] == Value::Bool(true) {
                self.ready = ready;
                return Ok(());
            }
        }
        Err("ended before it was ready".into())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Err(error) = self.stop(Signal::SIGTERM) {
            eprintln!("bench: {error}");
        }
    }
}

/// The folder that this binary is in: the others are beside it.
pub fn beside_this() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    Ok(this.parent().unwrap_or(Path::new(".")).to_owned())
}
