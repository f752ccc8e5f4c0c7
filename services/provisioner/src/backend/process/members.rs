//! The processes of an instance: the one that was started and all that it started,
//! also what left its group.
//!
//! A process belongs to an instance if it is the one that was started, is in its group,
//! descends from one that belongs, or carries the instance's mark in its environment,
//! which is inherited. What dropped its environment and lost its parent before anybody
//! looked is not found.

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::proc::{Identity, Stat};

/// The variable with the mark.
pub(super) const MARK: &str = "CANDOR_INSTANCE";
/// How often it is looked.
const POLL: Duration = Duration::from_millis(20);
/// For killed processes to be gone.
const REAP: Duration = Duration::from_secs(10);

/// Those that were seen.
#[derive(Debug)]
pub(super) struct Members {
    /// What the marks of the workspace's instances begin with.
    mark: String,
    /// The one that was started.
    leader: Option<Identity>,
    /// Number and start of each that was ever seen to belong.
    known: BTreeSet<(i32, u64)>,
}

impl Members {
    /// Of a workspace's instances.
    pub(super) fn of(mark: String, leader: Option<Identity>) -> Self {
        Self {
            mark,
            leader,
            known: BTreeSet::new(),
        }
    }

    /// Asks them to end, and kills what is still there after `grace`. What is left, if
    /// anything is.
    pub(super) fn end(mut self, grace: Duration) -> Vec<i32> {
        let leader = self.leader.as_ref().map(|leader| leader.pid);
        // A tool in a group of its own is its agent's to ask.
        for member in self.look() {
            if leader == Some(member.group) {
                signal(member, Signal::TERM);
            }
        }
        let deadline = Instant::now() + grace;
        while self.leader.as_ref().is_some_and(Identity::runs) && Instant::now() < deadline {
            // Whoever leaves the group now would be hard to find later.
            self.look_at_descent(&Stat::all());
            std::thread::sleep(POLL);
        }
        self.kill()
    }

    /// Kills until none is found twice in a row: one may start another while it is
    /// looked.
    fn kill(&mut self) -> Vec<i32> {
        let deadline = Instant::now() + REAP;
        let mut quiet = 0;
        loop {
            let running = self.look();
            quiet = if running.is_empty() { quiet + 1 } else { 0 };
            if quiet == 2 || Instant::now() > deadline {
                return running.iter().map(|member| member.pid).collect();
            }
            for member in &running {
                signal(*member, Signal::KILL);
            }
            if !running.is_empty() {
                std::thread::sleep(POLL);
            }
        }
    }

    /// Those that run now.
    fn look(&mut self) -> Vec<Stat> {
        let all = Stat::all();
        for stat in all.iter().filter(|stat| !is_this(stat)) {
            let mark = stat.variable(MARK);
            if mark.is_some_and(|mark| mark.starts_with(&self.mark)) {
                self.known.insert((stat.pid, stat.started));
            }
        }
        self.look_at_descent(&all);
        all.into_iter().filter(|stat| self.knows(stat)).collect()
    }

    /// Adds the leader, its group and whatever descends from one that is known.
    fn look_at_descent(&mut self, all: &[Stat]) {
        let leader = self.leader.as_ref().filter(|leader| leader.runs());
        let leader = leader.map(|leader| leader.pid);
        let others: Vec<&Stat> = all.iter().filter(|stat| !is_this(stat)).collect();
        loop {
            let running = others.iter().filter(|stat| self.knows(stat));
            let parents: HashSet<i32> = running.map(|stat| stat.pid).chain(leader).collect();
            let before = self.known.len();
            for stat in &others {
                let leads = leader == Some(stat.pid) || leader == Some(stat.group);
                if leads || parents.contains(&stat.parent) {
                    self.known.insert((stat.pid, stat.started));
                }
            }
            if self.known.len() == before {
                return;
            }
        }
    }

    fn knows(&self, stat: &Stat) -> bool {
        self.known.contains(&(stat.pid, stat.started))
    }
}

/// A process of any instance whose mark begins so, if one runs.
pub(super) fn any(marks: &str) -> Option<i32> {
    let all = Stat::all();
    let marked = |stat: &&Stat| {
        let mark = stat.variable(MARK);
        mark.is_some_and(|mark| mark.starts_with(marks))
    };
    all.iter().find(marked).map(|stat| stat.pid)
}

/// The first process of the instance with this mark, if it runs: where a platform was
/// killed before it could note whom it had started.
pub(super) fn leader(mark: &str) -> Option<Identity> {
    let all = Stat::all();
    let leads = |stat: &&Stat| {
        stat.pid == stat.group && stat.variable(MARK).is_some_and(|found| found == mark)
    };
    // Whatever it started is younger.
    let oldest = all.iter().filter(leads).min_by_key(|stat| stat.started)?;
    Identity::of(oldest.pid)
}

/// A platform that an agent of its own started does not end itself.
fn is_this(stat: &Stat) -> bool {
    u32::try_from(stat.pid) == Ok(std::process::id())
}

/// To this process and no later one with its number.
fn signal(to: Stat, signal: Signal) {
    let Some(pid) = Pid::from_raw(to.pid) else {
        return;
    };
    let Ok(held) = pidfd_open(pid, PidfdFlags::empty()) else {
        return;
    };
    // If it still has its number now, it had it when it was opened.
    if Stat::read(to.pid).is_some_and(|now| now.started == to.started) {
        // It may have ended, which is what is wanted.
        pidfd_send_signal(&held, signal).ok();
    }
}
