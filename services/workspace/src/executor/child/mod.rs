//! A program that is run for a turn: in a process group of its own, what it writes to
//! its standard error kept but bounded, and never left behind.
//!
//! It is asked to end before it is killed: the Claude CLI runs each tool in a session
//! of its own, which no signal to its process group reaches, and ends them itself
//! when it gets SIGTERM. What it leaves is found by descent.

mod family;
mod lines;
mod stderr;

use std::any::Any;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::family::Family;
pub use self::lines::Lines;
use self::stderr::Tail;

/// From the request to end to the kill. The Claude CLI takes under two seconds when
/// it has a tool to end.
const GRACE: Duration = Duration::from_secs(5);
/// For a killed process to be gone.
const REAP: Duration = Duration::from_secs(5);
/// For the last words to come out of the pipe.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What is kept until the process is gone, also when nobody waits for that.
pub type Held = Box<dyn Any + Send + Sync>;

/// A running program. Dropped, it is ended in the background: asked first, then
/// killed with everything that it started.
#[derive(Debug)]
pub struct Child(Option<Running>);

#[derive(Debug)]
struct Running {
    child: tokio::process::Child,
    group: Pid,
    gone: bool,
    stderr: Tail,
    listener: JoinHandle<()>,
    _held: Held,
}

/// A program that is gone.
#[derive(Debug)]
pub struct Ended {
    /// How it ended; nothing if that was not seen in time.
    pub status: Option<ExitStatus>,
    /// Whether it ended by itself.
    pub by_itself: bool,
    /// The end of what it wrote to its standard error.
    pub stderr: String,
}

// === impl Child ===

impl Child {
    /// Starts it. `held` is dropped when the process is gone.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(mut command: Command, held: Held) -> io::Result<(Self, ChildStdin, ChildStdout)> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let ((Some(stdin), Some(stdout), Some(stderr)), Some(pid)) = (pipes, pid) else {
            return Err(io::Error::other("a child without pipes or an id"));
        };
        let (stderr, listener) = Tail::of(stderr);
        let running = Running {
            child,
            group: Pid::from_raw(pid),
            gone: false,
            stderr,
            listener,
            _held: held,
        };
        Ok((Self(Some(running)), stdin, stdout))
    }

    /// Waits until it has ended, for ever if need be: the caller has the deadline.
    pub async fn wait(&mut self) {
        if let Some(running) = &mut self.0 {
            running.wait().await;
        }
    }

    /// Waits for it `within`, then ends it.
    pub async fn end(mut self, within: Duration) -> Ended {
        let Some(mut running) = self.0.take() else {
            return Ended::unseen();
        };
        let by_itself = timeout(within, running.wait()).await.is_ok();
        if by_itself {
            running.signal(Signal::SIGKILL);
        } else {
            running.terminate().await;
        }
        // Whoever inherited the pipe may hold it open for ever.
        let _held_open = timeout(LAST_WORDS, &mut running.listener).await;
        Ended {
            status: running.child.try_wait().ok().flatten(),
            by_itself,
            stderr: running.stderr.text(),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let Some(mut running) = self.0.take() else {
            return;
        };
        // Without a runtime, or when it stops first, `Running` kills.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { running.terminate().await });
        }
    }
}

// === impl Running ===

impl Running {
    async fn wait(&mut self) {
        // An error says that there is nothing to wait for.
        let _status = self.child.wait().await;
        self.gone = true;
    }

    /// Asks it to end, and kills what is still there after [`GRACE`].
    async fn terminate(&mut self) {
        if self.gone {
            return;
        }
        let family = Family::of(self.group);
        self.signal(Signal::SIGTERM);
        if timeout(GRACE, self.wait()).await.is_err() {
            self.signal(Signal::SIGKILL);
            let _stuck_in_the_kernel = timeout(REAP, self.wait()).await;
        }
        self.signal(Signal::SIGKILL);
        family.kill();
    }

    /// To the whole group. No new group can have its number so soon after its end.
    fn signal(&self, signal: Signal) {
        killpg(self.group, signal).ok();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.listener.abort();
        if !self.gone {
            let family = Family::of(self.group);
            self.signal(Signal::SIGKILL);
            family.kill();
        }
    }
}

// === impl Ended ===

impl Ended {
    fn unseen() -> Self {
        Self {
            status: None,
            by_itself: false,
            stderr: String::new(),
        }
    }

    /// What went wrong, how the program ended, and its last words, below each other.
    #[must_use]
    pub fn error(&self, what: &str) -> String {
        let mut error = what.trim_end().to_owned();
        match self.status {
            Some(status) if self.by_itself => error.push_str(&format!("\n{status}")),
            _ => error.push_str("\nthe program was ended"),
        }
        if !self.stderr.is_empty() {
            error.push_str("\nstderr: ");
            error.push_str(&self.stderr);
        }
        error
    }
}
