//! What is printed: rounds as they come, medians, and the goals.

use crate::goal::{self, Bound, Goal};
use crate::rounds::Measured;
use crate::startup::Startup;
use crate::statistics::{median, millis};
use crate::targets::Kind;

/// Above this share of stolen CPU, in percent, a round says nothing.
pub const STOLEN: f64 = 3.0;
/// The rate of 10,000 workspaces that beat every 30 s.
pub const RATE: u32 = 333;

/// Everything that was measured.
#[derive(Debug, Default)]
pub struct Report {
    /// Interleaved rounds at 64 connections.
    pub rounds: Vec<Vec<Measured>>,
    /// Interleaved rounds at the fixed rate.
    pub rated: Vec<Vec<Measured>>,
    /// Interleaved rounds at 256 connections.
    pub wide: Vec<Vec<Measured>>,
    /// Statements a second of an idle target.
    pub idle: Vec<(Kind, Option<f64>)>,
    /// Starts of a standalone.
    pub startup: Option<Startup>,
}

/// A line for a load that has just ended.
pub fn line(measured: &Measured) -> String {
    let mark = if measured.stolen > STOLEN {
        "  STOLEN"
    } else {
        ""
    };
    format!(
        "  {:<11} {:>8.0} beats/s   p50 {:>7.2} ms   p99 {:>7.2} ms   steal {:>4.1} %{mark}",
        measured.kind,
        measured.rate,
        millis(measured.p50),
        millis(measured.p99),
        measured.stolen
    )
}

impl Report {
    /// Tables of medians, then goals.
    pub fn text(&self) -> String {
        let mut lines = vec![format!(
            "Medians of {} interleaved rounds, 64 connections, as many beats as are answered",
            self.rounds.len()
        )];
        lines.extend(throttle_table(&self.rounds));
        if !self.wide.is_empty() {
            lines.push(String::new());
            lines.push(format!(
                "The same with 256 connections, {} rounds",
                self.wide.len()
            ));
            lines.extend(throttle_table(&self.wide));
        }
        if !kinds(&self.rated).is_empty() {
            lines.push(String::new());
            lines.push(format!(
                "At {RATE} beats/s, medians of {} rounds",
                self.rated.len()
            ));
            lines.extend(self.rate_table());
        }
        if let Some(startup) = &self.startup {
            lines.push(String::new());
            lines.push(format!(
                "A standalone with its own Postgres: ready after {:.2} s on an empty directory, {:.2} s on the existing one; {:.1} MiB when idle",
                startup.first,
                median(startup.again.iter().copied()).unwrap_or_default(),
                median(startup.resident.iter().copied()).unwrap_or_default()
            ));
        }
        let stolen = [&self.rounds, &self.rated, &self.wide];
        let stolen = stolen.into_iter().flatten().flatten();
        let stolen = stolen.filter(|measured| measured.stolen > STOLEN).count();
        if stolen > 0 {
            lines.push(String::new());
            lines.push(format!(
                "{stolen} loads ran while more than {STOLEN} % of the CPU was stolen (STOLEN above): run again."
            ));
        }
        lines.push(String::new());
        lines.extend(goal::table(&self.goals()));
        lines.join("\n")
    }

    fn rate_table(&self) -> Vec<String> {
        let head = "              p50 ms   p99 ms   generator late p99   statements   idle statements/s   WAL bytes    HOT %";
        let mut lines = vec![head.to_owned()];
        for kind in kinds(&self.rated) {
            let pick =
                |value: fn(&Measured) -> Option<f64>| median(values(&self.rated, kind, value));
            lines.push(format!(
                "  {kind:<11} {} {} {:>20} {} {:>19} {} {}",
                cell(pick(|m| Some(millis(m.p50))), 7, 2),
                cell(pick(|m| Some(millis(m.p99))), 8, 2),
                cell(pick(|m| m.late_p99.map(millis)), 20, 2),
                cell(pick(Measured::statements), 12, 3),
                cell(self.idle(kind), 19, 2),
                cell(pick(Measured::wal), 11, 0),
                cell(pick(Measured::heap_only), 8, 1),
            ));
        }
        lines
    }

    fn idle(&self, kind: Kind) -> Option<f64> {
        self.idle.iter().find(|(of, _)| *of == kind)?.1
    }

    /// What runs without beats is not a beat's statement; at a high rate it is
    /// nothing, at a low one it would show.
    fn statements_of_beats(&self, kind: Kind) -> Option<f64> {
        let idle = self.idle(kind).unwrap_or_default();
        median(
            self.rated
                .iter()
                .flatten()
                .filter(|m| m.kind == kind)
                .filter_map(|m| Some(m.statements()? - idle / m.rate)),
        )
    }

    fn goals(&self) -> Vec<Goal> {
        let mut goals = Vec::new();
        for (kind, share_wanted) in [(Kind::Standalone, 50.0), (Kind::Separate, 40.0)] {
            let pick =
                |value: fn(&Measured) -> Option<f64>| median(values(&self.rounds, kind, value));
            let mut goal = |what: &str, bound, unit, digits, measured| {
                goals.push(Goal {
                    what: format!("{kind}: {what}"),
                    bound,
                    unit,
                    digits,
                    measured,
                });
            };
            let at_least = Bound::AtLeast;
            let at_most = Bound::AtMost;
            goal(
                "share of floor-http",
                at_least(share_wanted),
                "%",
                1,
                share(&self.rounds, kind),
            );
            goal(
                "statements a beat",
                at_most(0.05),
                "",
                3,
                pick(Measured::statements),
            );
            goal("WAL a beat", at_most(120.0), "B", 0, pick(Measured::wal));
            goal(
                "heap-only updates",
                at_least(95.0),
                "%",
                1,
                pick(Measured::heap_only),
            );
            let pick =
                |value: fn(&Measured) -> Option<f64>| median(values(&self.rated, kind, value));
            let statements = self.statements_of_beats(kind);
            goal(
                "statements a beat at 333/s",
                at_most(1.0),
                "",
                2,
                statements,
            );
            goal(
                "p50 at 333/s",
                at_most(1.2),
                "ms",
                2,
                pick(|m| Some(millis(m.p50))),
            );
            goal(
                "p99 at 333/s",
                at_most(5.0),
                "ms",
                2,
                pick(|m| Some(millis(m.p99))),
            );
        }
        let startup = self.startup.clone().unwrap_or_default();
        let mut alone = |what: &str, bound, unit, digits, measured| {
            goals.push(Goal {
                what: what.to_owned(),
                bound,
                unit,
                digits,
                measured,
            });
        };
        alone(
            "standalone, idle: resident",
            Bound::Below(60.0),
            "MiB",
            1,
            median(startup.resident),
        );
        alone(
            "standalone, existing data: ready",
            Bound::Below(3.0),
            "s",
            2,
            median(startup.again),
        );
        goals
    }
}

fn throttle_table(rounds: &[Vec<Measured>]) -> Vec<String> {
    let head = "               beats/s   of floor-http   times model   p50 ms   p99 ms   statements   WAL bytes    HOT %";
    let mut lines = vec![head.to_owned()];
    for kind in kinds(rounds) {
        let pick = |value: fn(&Measured) -> Option<f64>| median(values(rounds, kind, value));
        let share = share(rounds, kind).map_or("-".to_owned(), |share| format!("{share:.1} %"));
        lines.push(format!(
            "  {kind:<11} {} {share:>15} {} {} {} {} {} {}",
            cell(pick(|m| Some(m.rate)), 8, 0),
            cell(median(ratios(rounds, kind, Kind::Model)), 13, 1),
            cell(pick(|m| Some(millis(m.p50))), 8, 2),
            cell(pick(|m| Some(millis(m.p99))), 8, 2),
            cell(pick(Measured::statements), 12, 3),
            cell(pick(Measured::wal), 11, 0),
            cell(pick(Measured::heap_only), 8, 1),
        ));
    }
    lines
}

/// Percentage of the floor, the median of each round's own.
fn share(rounds: &[Vec<Measured>], kind: Kind) -> Option<f64> {
    median(ratios(rounds, kind, Kind::FloorHttp)).map(|ratio| 100.0 * ratio)
}

/// Both of one round: what slows the machine down for a minute slows both.
fn ratios(rounds: &[Vec<Measured>], kind: Kind, to: Kind) -> Vec<f64> {
    let rate = |round: &[Measured], kind| Some(round.iter().find(|m| m.kind == kind)?.rate);
    rounds
        .iter()
        .filter_map(|round| Some(rate(round, kind)? / rate(round, to)?))
        .collect()
}

fn kinds(rounds: &[Vec<Measured>]) -> Vec<Kind> {
    rounds
        .first()
        .map(|round| round.iter().map(|m| m.kind).collect())
        .unwrap_or_default()
}

fn values(
    rounds: &[Vec<Measured>],
    kind: Kind,
    value: fn(&Measured) -> Option<f64>,
) -> impl Iterator<Item = f64> {
    let all = rounds.iter().flatten().filter(move |m| m.kind == kind);
    all.filter_map(value)
}

fn cell(value: Option<f64>, width: usize, digits: usize) -> String {
    value.map_or_else(
        || format!("{:>width$}", "-"),
        |value| format!("{value:>width$.digits$}"),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::meter::Cost;

    fn measured(kind: Kind, rate: f64, beats: u64, statements: f64) -> Measured {
        Measured {
            kind,
            beats,
            rate,
            p50: Duration::from_micros(900),
            p99: Duration::from_millis(4),
            late_p99: None,
            cost: Some(Cost {
                statements: Some(statements),
                wal: 90.0 * beats as f64,
                heap_only: Some(100.0),
            }),
            stolen: 0.0,
        }
    }

    #[test]
    fn the_share_is_the_median_of_each_rounds_own() {
        let round = |floor, candor| {
            vec![
                measured(Kind::FloorHttp, floor, 1, 0.0),
                measured(Kind::Standalone, candor, 1, 0.0),
            ]
        };
        // The second round ran on a machine half as fast.
        let rounds = vec![
            round(60_000.0, 36_000.0),
            round(30_000.0, 15_000.0),
            round(60_000.0, 33_000.0),
        ];
        let share = share(&rounds, Kind::Standalone).unwrap();
        assert!((share - 55.0).abs() < 1e-9, "{share}");
    }

    #[test]
    fn housekeeping_is_no_statement_of_a_beat() {
        let report = Report {
            rated: vec![vec![measured(Kind::Standalone, 333.0, 3330, 3340.0)]],
            idle: vec![(Kind::Standalone, Some(1.0))],
            ..Report::default()
        };
        let statements = report.statements_of_beats(Kind::Standalone).unwrap();
        assert!((statements - 1.0).abs() < 1e-4, "{statements}");
        let text = report.text();
        assert!(
            text.contains(
                "standalone: statements a beat at 333/s   <= 1         1.00           yes"
            ),
            "{text}"
        );
    }

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        let text = Report::default().text();
        assert!(!text.contains("yes") && !text.contains("NO"), "{text}");
        assert!(text.contains("not measured"));
    }
}
