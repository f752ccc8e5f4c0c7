//! What the figures were measured on, and what was stolen from it meanwhile.

use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::statfs::{TMPFS_MAGIC, statfs};

use crate::Result;
use crate::statistics::percentile;

/// How often the disk is asked to flush.
const FLUSHES: usize = 200;

/// The CPU's time so far, in ticks, over all cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticks {
    /// All of it.
    pub all: u64,
    /// Nobody had it.
    pub idle: u64,
    /// Other machines had it.
    pub stolen: u64,
}

impl Ticks {
    /// Until now.
    pub fn now() -> Result<Self> {
        Self::parse(&fs::read_to_string("/proc/stat")?)
    }

    /// From then until now; never nothing at all.
    pub fn since(self) -> Result<Self> {
        let now = Self::now()?;
        Ok(Self {
            all: now.all.saturating_sub(self.all).max(1),
            idle: now.idle.saturating_sub(self.idle),
            stolen: now.stolen.saturating_sub(self.stolen),
        })
    }

    /// Share of the CPU's time since then that others had, in percent.
    pub fn stolen_since(self) -> Result<f64> {
        let spent = self.since()?;
        Ok(100.0 * spent.stolen as f64 / spent.all as f64)
    }

    fn parse(text: &str) -> Result<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix("cpu "));
        let ticks: Vec<u64> = line
            .ok_or("/proc/stat has no cpu line")?
            .split_ascii_whitespace()
            .map_while(|number| number.parse().ok())
            .collect();
        // user nice system idle iowait irq softirq steal; guests are in user.
        let all = ticks.iter().take(8).sum();
        let stolen = ticks.get(7).copied().unwrap_or_default();
        let idle = ticks.iter().skip(3).take(2).sum();
        Ok(Self { all, idle, stolen })
    }
}

/// The machine and the disk under `folder`, a line each.
pub fn describe(folder: &Path) -> Result<Vec<String>> {
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let cpu = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown", |(_, name)| name);
    let memory = fs::read_to_string("/proc/meminfo")?;
    let memory = memory.lines().next().unwrap_or_default();
    let mut lines = vec![
        format!("cpu     {cores} x {cpu}"),
        format!("memory  {}", memory.trim_start_matches("MemTotal:").trim()),
        format!("kernel  Linux {}", kernel.trim()),
        format!(
            "flush   {:.0} us, the median fdatasync of 8 KiB",
            flush(folder)?.as_secs_f64() * 1e6
        ),
    ];
    if statfs(folder)?.filesystem_type() == TMPFS_MAGIC {
        lines.push(format!(
            "WARNING {} is in memory: fsync costs nothing there. Set TMPDIR to a disk.",
            folder.display()
        ));
    }
    Ok(lines)
}

/// The resident memory of a process, in MiB.
pub fn resident(pid: u32) -> Result<f64> {
    memory(pid, "VmRSS:")
}

/// The most that was ever resident of a process, in MiB.
pub fn peak(pid: u32) -> Result<f64> {
    memory(pid, "VmHWM:")
}

fn memory(pid: u32, line: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib: f64 = status
        .lines()
        .find_map(|found| found.strip_prefix(line))
        .and_then(|rest| rest.split_ascii_whitespace().next())
        .ok_or_else(|| format!("no {line}"))?
        .parse()?;
    Ok(kib / 1024.0)
}

fn flush(folder: &Path) -> Result<Duration> {
    let path = folder.join("flush");
    let mut file = File::create(&path)?;
    let mut times = Vec::with_capacity(FLUSHES);
    for _ in 0..FLUSHES {
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&[1; 8192])?;
        let start = Instant::now();
        file.sync_data()?;
        times.push(start.elapsed());
    }
    fs::remove_file(path)?;
    times.sort_unstable();
    Ok(percentile(&times, 50))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_is_the_eighth_number_and_guests_are_not_counted_twice() {
        let ticks = Ticks::parse("cpu  10 1 5 80 2 0 1 3 7 0\ncpu0 1 2 3\n").unwrap();
        assert_eq!(
            ticks,
            Ticks {
                all: 102,
                idle: 82,
                stolen: 3
            }
        );
        assert!(Ticks::parse("intr 5").is_err());
    }
}
