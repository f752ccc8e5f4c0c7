//! Medians over rounds, and what is said of them in the end.

use std::fmt::Write as _;

use super::Part;
use super::load::Measured;
use super::targets::Kind;
use crate::Result;
use crate::goal::{Bound, Goal};
use crate::statistics::{median, millis};

/// One load on one target after the other.
pub type Round = Vec<Measured>;

/// What was measured so far.
#[derive(Debug, Default)]
pub struct Figures {
    /// At a fixed rate.
    pub latency: Vec<Round>,
    /// One caller.
    pub single: Vec<Round>,
    /// Many callers.
    pub throughput: Vec<Round>,
    /// What broke.
    pub broken: Vec<String>,
}

impl Figures {
    /// What broke is kept and told.
    pub fn kept<T>(&mut self, part: Part, outcome: Result<T>) -> Option<T> {
        outcome
            .map_err(|error| self.broken.push(format!("{part}: {error}")))
            .ok()
    }

    /// Medians of everything that was measured in rounds.
    pub fn medians(&self) -> String {
        let mut text = String::new();
        for (name, rounds) in [
            ("500 calls/s", &self.latency),
            ("one caller", &self.single),
            ("64 callers", &self.throughput),
        ] {
            if rounds.is_empty() {
                continue;
            }
            let head = format!("medians, {name}");
            // A string takes whatever is written.
            let _ = writeln!(
                text,
                "  {head:<28} {:>9} {:>9} {:>9} {:>22}",
                "calls/s", "p50 ms", "p99 ms", "p50 over direct-anew"
            );
            for kind in Kind::ALL {
                let of = |figure: fn(&Measured) -> f64| over_rounds(rounds, kind, figure);
                let added = paired(rounds, kind, Kind::DirectAnew, |a, b| p50(a) - p50(b));
                let _ = writeln!(
                    text,
                    "    {kind:<26} {:>9} {:>9} {:>9} {:>22}",
                    shown(of(|one| one.rate), 0),
                    shown(of(p50), 2),
                    shown(of(p99), 2),
                    shown(added, 2)
                );
            }
        }
        text
    }

    /// Those that can be judged.
    pub fn goals(&self) -> Vec<Goal> {
        let over_floor = paired(&self.latency, Kind::Candor, Kind::Forward, |a, b| {
            p50(a) - p50(b)
        });
        let times_proxy = paired(&self.throughput, Kind::Candor, Kind::Buffering, |a, b| {
            a.rate / b.rate.max(1e-9)
        });
        let goal = |what: &str, bound, unit, measured| Goal {
            what: what.to_owned(),
            bound,
            unit,
            digits: 2,
            measured,
        };
        vec![
            goal(
                "p50 at 500/s, over floor-forward",
                Bound::AtMost(0.5),
                "ms",
                over_floor,
            ),
            goal(
                "p99 at 500/s",
                Bound::AtMost(5.0),
                "ms",
                over_rounds(&self.latency, Kind::Candor, p99),
            ),
            goal(
                "calls/s at 64, of floor-buffering-proxy",
                Bound::AtLeast(3.0),
                "x",
                times_proxy,
            ),
        ]
    }

    /// An error where anything broke; a missed goal is none.
    pub fn verdict(&self) -> Result<()> {
        if self.broken.is_empty() {
            return Ok(());
        }
        Err(format!("broken:\n  {}", self.broken.join("\n  ")).into())
    }
}

fn p50(one: &Measured) -> f64 {
    millis(one.p50)
}

fn p99(one: &Measured) -> f64 {
    millis(one.p99)
}

fn shown(figure: Option<f64>, digits: usize) -> String {
    figure.map_or_else(String::new, |figure| format!("{figure:.digits$}"))
}

fn of(round: &Round, kind: Kind) -> Option<&Measured> {
    round.iter().find(|one| one.kind == kind)
}

/// The median of one target's figures.
fn over_rounds(rounds: &[Round], kind: Kind, figure: fn(&Measured) -> f64) -> Option<f64> {
    median(
        rounds
            .iter()
            .filter_map(|round| of(round, kind))
            .map(figure),
    )
}

/// The median of each round's own comparison: what slows a minute down slows both.
fn paired(
    rounds: &[Round],
    one: Kind,
    other: Kind,
    compared: fn(&Measured, &Measured) -> f64,
) -> Option<f64> {
    let pairs = rounds
        .iter()
        .filter_map(|round| of(round, one).zip(of(round, other)));
    median(pairs.map(|(one, other)| compared(one, other)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn comparisons_are_made_within_a_round() {
        let round = |slowness: u64| {
            let one = |kind, micros: u64, rate| {
                let latency = Duration::from_micros(micros * slowness);
                Measured::example(kind, rate, latency)
            };
            vec![
                one(Kind::Forward, 1000, 400.0),
                one(Kind::Buffering, 1500, 100.0),
                one(Kind::Candor, 1400, 250.0),
            ]
        };
        let figures = Figures {
            latency: vec![round(1), round(1), round(10)],
            throughput: vec![round(1)],
            ..Figures::default()
        };
        let goals = figures.goals();
        let near = |at: usize, expected: f64| {
            assert!(
                (goals[at].measured.unwrap() - expected).abs() < 1e-9,
                "{at}"
            );
        };
        near(0, 0.4);
        near(1, 1.4);
        near(2, 2.5);
        assert!(figures.medians().contains("floor-forward"));
    }

    #[test]
    fn what_was_not_measured_is_not_judged_and_what_broke_is_an_error() {
        let mut figures = Figures::default();
        assert!(figures.goals().iter().all(|goal| goal.measured.is_none()));
        assert!(figures.verdict().is_ok());
        let kept: Option<u8> = figures.kept(Part::Streams, Err("gone".into()));
        assert_eq!(kept, None);
        let told = figures.verdict().unwrap_err().to_string();
        assert!(told.contains("streams: gone"), "{told}");
    }
}
