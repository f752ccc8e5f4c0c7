//! A standalone with its own Postgres that nobody calls: ready when, and how big.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Result;
use crate::machine::resident;
use crate::program::Programs;
use crate::targets::up;

/// How long it idles before its memory is read.
const IDLE: Duration = Duration::from_secs(5);

/// What was measured.
#[derive(Debug, Clone, Default)]
pub struct Startup {
    /// Seconds until ready on an empty directory.
    pub first: f64,
    /// Seconds until ready on the existing directory, each time.
    pub again: Vec<f64>,
    /// MiB resident while idle, each time; Candor's process without Postgres.
    pub resident: Vec<f64>,
}

/// Takes the private Postgres down with it, whatever became of Candor.
pub struct DataDir(PathBuf);

/// Starts on an empty directory, then `times` times on the same one.
pub async fn measure(programs: &Programs, folder: &Path, times: usize) -> Result<Startup> {
    let data = DataDir::at(folder.join("data"));
    let mut startup = Startup::default();
    for time in 0..=times {
        let mut candor = programs
            .start("candor-alone", up(programs, &data.0))
            .await?;
        let took = candor.took().as_secs_f64();
        if time == 0 {
            startup.first = took;
        } else {
            startup.again.push(took);
            tokio::time::sleep(IDLE).await;
            startup.resident.push(resident(candor.pid()?)?);
        }
        let status = candor.stop(Signal::SIGINT)?;
        if !status.success() {
            return Err(programs.failure("candor-alone", &status.to_string()));
        }
        if data.postmaster().exists() {
            return Err("candor-alone ended and left its Postgres running".into());
        }
    }
    Ok(startup)
}

impl DataDir {
    /// The one at this path, which need not exist.
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// There while its Postgres runs.
    fn postmaster(&self) -> PathBuf {
        self.0.join("postgres/postmaster.pid")
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        let pid = fs::read_to_string(self.postmaster()).unwrap_or_default();
        if let Some(pid) = pid.lines().next().and_then(|pid| pid.trim().parse().ok()) {
            // Left behind by a Candor that was killed; its data goes now.
            kill(Pid::from_raw(pid), Signal::SIGQUIT).ok();
        }
    }
}
