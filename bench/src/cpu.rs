//! Who had the CPU while something was measured.

use std::fmt;
use std::fs;

use crate::Result;
use crate::machine::Ticks;

/// Watches the platform, its Postgres and this process.
#[derive(Debug)]
pub struct Watch {
    watched: Watched,
    machine: Ticks,
    before: Used,
}

/// Whose time is read.
#[derive(Debug, Clone, Copy)]
struct Watched {
    candor: u32,
    postgres: u32,
    agent: Option<u32>,
}

/// Percentages of all cores' time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shares {
    /// Of the platform.
    pub candor: f64,
    /// Of Postgres with its backends.
    pub postgres: f64,
    /// Of the stand-in for agents, where there is one.
    pub agent: f64,
    /// Of what sends the load and reads the answers.
    pub generator: f64,
    /// Of nobody.
    pub idle: f64,
    /// Of other machines.
    pub stolen: f64,
}

/// Ticks so far.
#[derive(Debug, Clone, Copy)]
struct Used {
    candor: u64,
    postgres: u64,
    agent: u64,
    generator: u64,
}

/// What `/proc/PID/stat` says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: u32,
    own: u64,
    /// Of children that have ended.
    reaped: u64,
}

impl Watch {
    /// From now on.
    pub fn start(candor: u32, postgres: u32) -> Result<Self> {
        Self::of(candor, postgres, None)
    }

    /// From now on, of something that is not the platform as well, and of whom it
    /// calls.
    pub fn of(measured: u32, postgres: u32, agent: Option<u32>) -> Result<Self> {
        let watched = Watched {
            candor: measured,
            postgres,
            agent,
        };
        Ok(Self {
            watched,
            machine: Ticks::now()?,
            before: Used::now(watched)?,
        })
    }

    /// Until now.
    pub fn end(self) -> Result<Shares> {
        let now = Used::now(self.watched)?;
        let spent = self.machine.since()?;
        let share = |ticks: u64| 100.0 * ticks as f64 / spent.all as f64;
        let of = |now: u64, before: u64| share(now.saturating_sub(before));
        Ok(Shares {
            candor: of(now.candor, self.before.candor),
            postgres: of(now.postgres, self.before.postgres),
            agent: of(now.agent, self.before.agent),
            generator: of(now.generator, self.before.generator),
            idle: share(spent.idle),
            stolen: share(spent.stolen),
        })
    }
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "candor {:.0} %, postgres {:.0} %, generator {:.0} %, idle {:.0} %, steal {:.1} %",
            self.candor, self.postgres, self.generator, self.idle, self.stolen
        )
    }
}

impl Used {
    fn now(watched: Watched) -> Result<Self> {
        let this = Stat::of(std::process::id())?;
        let agent = watched.agent.map(Stat::of).transpose()?;
        Ok(Self {
            candor: Stat::of(watched.candor)?.own,
            postgres: family(watched.postgres)?,
            agent: agent.map_or(0, |stat| stat.own),
            // wrk is a child of this process, which waits for it.
            generator: this.own + this.reaped,
        })
    }
}

/// A process with its children: a backend that ends leaves its time to its parent.
fn family(pid: u32) -> Result<u64> {
    let parent = Stat::of(pid)?;
    let children = fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        // One that ends meanwhile is no error.
        .filter_map(|child| Stat::of(child).ok())
        .filter(|child| child.parent == pid)
        .map(|child| child.own);
    Ok(parent.own + parent.reaped + children.sum::<u64>())
}

impl Stat {
    fn of(pid: u32) -> Result<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat"))?)
    }

    fn parse(text: &str) -> Result<Self> {
        // The name is in parentheses and may hold anything.
        let (_, rest) = text.rsplit_once(')').ok_or("no name in /proc/PID/stat")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |at: usize| -> Result<u64> {
            let field = fields.get(at).ok_or("/proc/PID/stat is too short")?;
            Ok(field.parse()?)
        };
        Ok(Self {
            parent: u32::try_from(number(1)?)?,
            own: number(11)? + number(12)?,
            reaped: number(13)? + number(14)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_moves_no_field() {
        let text = "7 (a) b (c) S 3 7 7 0 -1 4194560 1 2 3 4 100 20 5 6 20 0 1 0 9 9 9";
        let stat = Stat::parse(text).unwrap();
        let expected = Stat {
            parent: 3,
            own: 120,
            reaped: 11,
        };
        assert_eq!(stat, expected);
        assert!(Stat::parse("7 (short) S 3").is_err());
    }
}
