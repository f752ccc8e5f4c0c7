//! The processes that descend from one, also those that left its process group.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Descendants, each with the time of its start: a number alone may be another's by
/// now. Empty where there is no `/proc`.
#[derive(Debug)]
pub(super) struct Family(Vec<Member>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Member {
    pid: i32,
    parent: i32,
    started: u64,
}

impl Family {
    /// Everything below `ancestor`, as it is now.
    pub(super) fn of(ancestor: Pid) -> Self {
        let all: Vec<Member> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(Member::read)
            .collect();
        let mut found: Vec<Member> = Vec::new();
        let mut parents = vec![ancestor.as_raw()];
        while let Some(parent) = parents.pop() {
            for member in all.iter().filter(|member| member.parent == parent) {
                // What changed while it was read could look like a circle.
                if !found.contains(member) {
                    found.push(*member);
                    parents.push(member.pid);
                }
            }
        }
        Self(found)
    }

    /// Kills those that are still there.
    pub(super) fn kill(&self) {
        for member in &self.0 {
            let same = Member::read(member.pid).is_some_and(|now| now.started == member.started);
            if same {
                kill(Pid::from_raw(member.pid), Signal::SIGKILL).ok();
            }
        }
    }
}

impl Member {
    /// From proc(5) `/proc/pid/stat`: after the name in parentheses, which may hold
    /// anything, the parent is the second field and the start the twentieth.
    fn read(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        Some(Self {
            pid,
            parent: fields.get(1)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}
