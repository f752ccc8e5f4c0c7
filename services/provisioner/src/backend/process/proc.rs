//! Processes as `/proc` has them.

use std::fs;

use serde::{Deserialize, Serialize};

/// A process that cannot be mistaken for a later one with its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// Its number.
    pub(super) pid: i32,
    /// When it started, in ticks since the machine did.
    pub(super) started: u64,
    /// Which start of the machine that was.
    pub(super) boot: String,
}

/// A process that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) pid: i32,
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) started: u64,
}

/// Which start of the machine this is; empty where that cannot be known.
pub(super) fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

impl Identity {
    /// The process with this number, if it runs.
    pub(super) fn of(pid: i32) -> Option<Self> {
        Stat::read(pid).map(Self::named)
    }

    /// A child that nobody has waited for, whether it runs still or not.
    pub(super) fn of_child(pid: i32) -> Option<Self> {
        Stat::parse(pid).map(|(stat, _)| Self::named(stat))
    }

    fn named(stat: Stat) -> Self {
        Self {
            pid: stat.pid,
            started: stat.started,
            boot: boot(),
        }
    }

    /// Whether it runs. One that has ended and was not waited for does not.
    pub(super) fn runs(&self) -> bool {
        Stat::read(self.pid).is_some_and(|now| now.started == self.started) && self.boot == boot()
    }
}

impl Stat {
    /// Every process that runs and can be seen.
    pub(super) fn all() -> Vec<Self> {
        fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(Self::read)
            .collect()
    }

    /// The process with this number, if it runs.
    pub(super) fn read(pid: i32) -> Option<Self> {
        Self::parse(pid).and_then(|(stat, ended)| (!ended).then_some(stat))
    }

    /// From proc(5) `/proc/pid/stat`: after the name in parentheses, which may hold
    /// anything, come the state, the parent, the group, and as the twentieth the start.
    fn parse(pid: i32) -> Option<(Self, bool)> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ended = matches!(*fields.first()?, "Z" | "X");
        let stat = Self {
            pid,
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        };
        Some((stat, ended))
    }

    /// The value of a variable in the environment that it was started with, if it is
    /// ours to look at.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let environ = fs::read(format!("/proc/{}/environ", self.pid)).ok()?;
        let value = environ.split(|byte| *byte == 0).find_map(|variable| {
            variable
                .strip_prefix(name.as_bytes())?
                .strip_prefix(b"=".as_slice())
        })?;
        String::from_utf8(value.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_process_is_its_number_its_start_and_its_machines_start() {
        let own = i32::try_from(std::process::id()).unwrap();
        let here = Identity::of(own).unwrap();
        assert!(here.runs());
        let earlier = Identity {
            started: here.started - 1,
            ..here.clone()
        };
        assert!(!earlier.runs(), "another process had the number");
        let boot = "another start".to_owned();
        assert!(!Identity { boot, ..here }.runs());
        assert_eq!(Identity::of(i32::MAX), None);
        assert!(Stat::all().iter().any(|stat| stat.pid == own));
        let path = Stat::read(own).unwrap().variable("PATH");
        assert_eq!(path, std::env::var("PATH").ok());
    }

    #[test]
    fn one_that_ended_and_is_not_waited_for_does_not_run() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while Stat::read(pid).is_some() {
            assert!(std::time::Instant::now() < deadline);
            std::thread::yield_now();
        }
        child.wait().unwrap();
    }
}
