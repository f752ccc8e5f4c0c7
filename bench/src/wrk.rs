//! Requests as fast as they are answered, by `wrk`.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;

use crate::Result;
use crate::beat::PATH;

/// A load of as many beats as are answered.
#[derive(Debug, Clone, Copy)]
pub struct Wrk<'a> {
    /// `beat.lua`.
    pub script: &'a Path,
    /// The file of the workspaces that beat.
    pub workspaces: &'a Path,
    /// Where.
    pub http: SocketAddr,
    /// How many at the same time.
    pub connections: u32,
    /// For how long.
    pub seconds: u32,
    /// Uptime of the first lap over the workspaces.
    pub uptime: u32,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Loaded {
    /// Requests answered.
    pub requests: u64,
    /// Requests answered in a second.
    pub rate: f64,
    /// Median latency.
    pub p50: Duration,
    /// Its 99th percentile.
    pub p99: Duration,
}

/// The line that `done.lua` prints.
#[derive(Deserialize)]
struct Line {
    requests: u64,
    micros: u64,
    p50: u64,
    p99: u64,
    connect: u64,
    read: u64,
    write: u64,
    status: u64,
    timeout: u64,
}

/// Writes `beat.lua` into a folder.
pub fn script(folder: &Path) -> Result<PathBuf> {
    write(folder, "beat.lua", include_str!("beat.lua"))
}

/// Writes a script, with what prints its figures behind it.
pub fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    std::fs::write(&path, format!("{text}\n{}", include_str!("done.lua")))?;
    Ok(path)
}

impl Wrk<'_> {
    /// Runs it; fails when any beat failed or was refused.
    pub async fn run(&self) -> Result<Loaded> {
        Load {
            script: self.script,
            url: format!("http://{}{PATH}", self.http),
            connections: self.connections,
            seconds: self.seconds,
        }
        .run(&[
            self.workspaces.as_os_str(),
            self.uptime.to_string().as_ref(),
        ])
        .await
    }
}

/// A load of as many requests as are answered, by a script that ends with
/// `done.lua`.
#[derive(Debug, Clone)]
pub struct Load<'a> {
    /// The script.
    pub script: &'a Path,
    /// Where.
    pub url: String,
    /// How many at the same time.
    pub connections: u32,
    /// For how long.
    pub seconds: u32,
}

impl Load<'_> {
    /// Runs it with arguments for the script; fails when any request failed or
    /// was refused.
    pub async fn run(&self, arguments: &[&OsStr]) -> Result<Loaded> {
        let output = Command::new("wrk")
            .args(["-t1", &format!("-c{}", self.connections)])
            .arg(format!("-d{}s", self.seconds))
            .arg("-s")
            .arg(self.script)
            .arg(&self.url)
            .arg("--")
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| format!("wrk: {error}"))?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            return Err(format!("wrk: {}: {stdout}{stderr}", output.status).into());
        }
        read(&stdout)
    }
}

fn read(stdout: &str) -> Result<Loaded> {
    let line = stdout.lines().find(|line| line.starts_with('{'));
    let line: Line = serde_json::from_str(line.ok_or_else(|| format!("wrk: {stdout}"))?)?;
    let failed = line.connect + line.read + line.write + line.timeout;
    if line.status + failed > 0 {
        let words = format!(
            "of {} requests {} were refused; {} sockets failed to connect, {} to read, {} to write; {} timed out",
            line.requests, line.status, line.connect, line.read, line.write, line.timeout
        );
        return Err(words.into());
    }
    if line.requests == 0 {
        return Err("no request was answered".into());
    }
    Ok(Loaded {
        requests: line.requests,
        rate: line.requests as f64 * 1e6 / line.micros.max(1) as f64,
        p50: Duration::from_micros(line.p50),
        p99: Duration::from_micros(line.p99),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(requests: u64, refused: u64) -> String {
        format!(
            "Running 5s test\n{{\"requests\":{requests},\"micros\":5000000,\"p50\":900,\"p99\":3100,\
             \"connect\":0,\"read\":0,\"write\":0,\"status\":{refused},\"timeout\":0}}\n"
        )
    }

    #[test]
    fn beats_a_second_and_percentiles_come_from_the_scripts_line() {
        let loaded = read(&line(10_000, 0)).unwrap();
        assert!((loaded.rate - 2000.0).abs() < 1e-9);
        assert_eq!(loaded.p99, Duration::from_micros(3100));
    }

    #[test]
    fn a_refused_beat_fails_the_run() {
        assert!(read(&line(10_000, 1)).is_err());
        assert!(read(&line(0, 0)).is_err());
        assert!(read("unable to connect").is_err());
    }
}
