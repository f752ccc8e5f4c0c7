//! Real programs as children: ready by their JSON line, killed on drop.

use std::collections::VecDeque;
use std::fmt;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// How many lines of output are kept for a failure's report.
const KEPT_LINES: usize = 4_000;
/// How long a child may take to end after SIGTERM before it is killed.
const DRAIN: Duration = Duration::from_secs(15);

/// A program did not become ready.
#[derive(thiserror::Error)]
pub enum StartError {
    /// It cannot be executed at all.
    #[error("{name}: cannot be started: {source}")]
    Spawn {
        /// Which program.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// It ended, or printed no `"ready":true` line in time.
    #[error("{name}: not ready within {within:?}; its output:\n{output}")]
    NotReady {
        /// Which program.
        name: String,
        /// How long it had.
        within: Duration,
        /// What it printed.
        output: String,
    },
}

/// A running child. Dropping it drains it, and kills it if that takes too long.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: Output,
    ready: Value,
}

#[derive(Debug, Clone, Default)]
struct Output(Arc<Mutex<VecDeque<String>>>);

/// Whether a process runs. One that has ended and was not waited for does not.
#[must_use]
pub fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let zombie = stat
        .rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with('Z'));
    kill(Pid::from_raw(pid), None).is_ok() && !zombie
}

// === impl StartError ===

/// As `Display`: tests that unwrap show the program's output line by line.
impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === impl Process ===

impl Process {
    /// Starts `command` and waits for its `{"ready":true,...}` line on stdout.
    ///
    /// # Errors
    /// [`StartError`], with everything that the program printed.
    pub async fn start(
        name: &str,
        mut command: Command,
        within: Duration,
    ) -> Result<Self, StartError> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|source| StartError::Spawn {
            name: name.to_owned(),
            source,
        })?;
        let output = Output::default();
        let (sender, receiver) = channel();
        if let Some(stdout) = child.stdout.take() {
            output.follow(stdout, Some(sender));
        }
        if let Some(stderr) = child.stderr.take() {
            output.follow(stderr, None);
        }
        let mut process = Self {
            name: name.to_owned(),
            child,
            output,
            ready: Value::Null,
        };
        let deadline = Instant::now() + within;
        while Instant::now() < deadline && process.is_running() {
            if let Ok(ready) = receiver.try_recv() {
                process.ready = ready;
                return Ok(process);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Err(StartError::NotReady {
            name: name.to_owned(),
            within,
            output: process.output(),
        })
    }

    /// The line by which it said that it is ready.
    #[must_use]
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    /// A member of the ready line, as text; empty when it has none.
    #[must_use]
    pub fn announced(&self, member: &str) -> String {
        self.ready[member].as_str().unwrap_or_default().to_owned()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// True until it has ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it printed so far, the last lines of it.
    #[must_use]
    pub fn output(&self) -> String {
        self.output.text()
    }

    /// Sends a signal; nothing happens when it has ended already.
    pub fn signal(&mut self, signal: Signal) {
        if self.is_running()
            && let Ok(pid) = i32::try_from(self.child.id())
        {
            // It may end between the two calls; `wait` tells.
            kill(Pid::from_raw(pid), signal).ok();
        }
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill9(&mut self) {
        self.signal(Signal::SIGKILL);
        self.child.wait().ok();
    }

    /// SIGTERM, then waits; SIGKILL when it has not ended by itself in `within`.
    /// The exit status tells which: a drained process has a code.
    pub fn stop(&mut self, within: Duration) -> Option<ExitStatus> {
        self.signal(Signal::SIGTERM);
        let deadline = Instant::now() + within;
        while self.is_running() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.signal(Signal::SIGKILL);
        self.child.wait().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A stopped process (SIGSTOP) would not see SIGTERM.
        self.signal(Signal::SIGCONT);
        self.stop(DRAIN);
        if std::thread::panicking() {
            eprintln!("=== output of {} ===\n{}", self.name, self.output());
        }
    }
}

// === impl Output ===

impl Output {
    fn follow(&self, pipe: impl Read + Send + 'static, ready: Option<Sender<Value>>) {
        let output = self.clone();
        // Ends with the pipe, which ends with the child.
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                if let Some(ready) = &ready
                    && let Ok(value) = serde_json::from_str::<Value>(&line)
                    && value["ready"] == Value::Bool(true)
                {
                    // Nobody listens any more when the start was given up.
                    ready.send(value).ok();
                }
                output.push(line);
            }
        });
    }

    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines
            .iter()
            .flat_map(|line| [line.as_str(), "\n"])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn is_ready_by_its_json_line_and_gone_after_kill9() {
        let script = r#"echo starting; echo '{"ready":true,"http":"h:1"}'; read forever; sleep 60"#;
        let within = Duration::from_secs(10);
        let mut process = Process::start("sh", shell(script), within).await.unwrap();
        assert_eq!(process.announced("http"), "h:1");
        assert!(process.is_running());
        process.kill9();
        assert!(!process.is_running());
        assert!(process.output().contains("starting"));
    }

    #[tokio::test]
    async fn a_program_that_ends_early_is_reported_with_its_words() {
        let within = Duration::from_secs(10);
        let failed = Process::start("sh", shell("echo no port >&2; exit 3"), within).await;
        let words = failed.unwrap_err().to_string();
        assert!(words.contains("not ready"), "{words}");
    }

    #[tokio::test]
    async fn a_drained_process_ends_by_itself_and_a_deaf_one_is_killed() {
        let within = Duration::from_secs(10);
        let polite = r#"trap 'exit 0' TERM; echo '{"ready":true}'; while :; do sleep 0.05; done"#;
        let mut process = Process::start("sh", shell(polite), within).await.unwrap();
        assert_eq!(
            process.stop(within).and_then(|status| status.code()),
            Some(0)
        );
        let deaf = r#"trap '' TERM; echo '{"ready":true}'; while :; do sleep 0.05; done"#;
        let mut process = Process::start("sh", shell(deaf), within).await.unwrap();
        let status = process.stop(Duration::from_millis(200));
        assert_eq!(status.and_then(|status| status.code()), None);
    }
}
