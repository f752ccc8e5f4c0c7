//! What was measured, and what is said of it in the end.

use super::Part;
use super::idle::Idle;
use super::lists::{self, Lists};
use super::load::Measured;
use crate::Result;
use crate::goal::{Bound, Goal};
use crate::statistics::millis;

/// What was measured so far.
#[derive(Debug, Default)]
pub struct Figures {
    /// Rows on streams.
    pub batched: Option<Measured>,
    /// Lists at a fixed pace.
    pub lists: Lists,
    /// Memory of idle streams.
    pub idle: Option<Idle>,
    /// What broke.
    pub broken: Vec<String>,
}

impl Figures {
    /// What a part measured; what broke is kept and told.
    pub fn kept<T>(&mut self, part: Part, outcome: Result<T>) -> Option<T> {
        outcome
            .map_err(|error| self.broken.push(format!("{part}: {error}")))
            .ok()
    }

    /// Those that can be judged.
    pub fn goals(&self) -> Vec<Goal> {
        let goal = |what: &str, bound, unit, digits, measured| Goal {
            what: what.to_owned(),
            bound,
            unit,
            digits,
            measured,
        };
        let batched = self.batched.as_ref().map(|measured| measured.rate);
        let mut goals = vec![goal(
            "rows on streams",
            Bound::AtLeast(20_000.0),
            "/s",
            0,
            batched,
        )];
        for (at, what) in lists::PACED.into_iter().enumerate() {
            let p99 = self.lists.paced.get(at).map(|paced| millis(paced.p99));
            goals.push(goal(
                &format!("{what}: p99"),
                Bound::Below(5.0),
                "ms",
                2,
                p99,
            ));
        }
        let idle = self.idle.map(|idle| idle.kib());
        goals.push(goal("an idle stream", Bound::AtMost(24.0), "KiB", 1, idle));
        goals
    }

    /// An error where anything broke; a missed goal is none.
    pub fn verdict(&self) -> Result<()> {
        if self.broken.is_empty() {
            return Ok(());
        }
        Err(format!("broken:\n  {}", self.broken.join("\n  ")).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_goal_is_no_error_and_what_broke_is() {
        let mut figures = Figures::default();
        assert!(figures.verdict().is_ok());
        assert_eq!(figures.goals().len(), 5);
        let kept: Option<u8> = figures.kept(Part::Idle, Err("gone".into()));
        assert_eq!(kept, None);
        let told = figures.verdict().unwrap_err().to_string();
        assert!(told.contains("idle: gone"), "{told}");
    }
}
