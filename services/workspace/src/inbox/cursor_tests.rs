//! Whatever happens in whatever order, each result is told, and on both platforms once.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::rows;
use super::state::State;

/// Rows of one answer.
const PAGE: usize = 6;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Speaks {
    Candor,
    Legacy,
}

#[derive(Debug, Clone, Copy)]
enum Happens {
    /// A row is written, so many seconds after the one before.
    Written(&'static str, i64),
    /// The legacy platform writes the first awaited result into its row.
    FilledIn,
    Polled,
    Told,
    /// A message was begun, and the process ended.
    KilledWhileTelling,
    /// The process ended; only what is on disk is left.
    Killed,
}

struct World {
    speaks: Speaks,
    rows: Vec<(String, &'static str, DateTime<Utc>)>,
    state: State,
    told: BTreeMap<String, usize>,
    not_read: usize,
}

impl World {
    fn written(&mut self, status: &'static str, later: i64) {
        let last = self.rows.last().map_or(DateTime::UNIX_EPOCH, |row| row.2);
        let at = last + TimeDelta::seconds(later);
        self.rows
            .push((format!("r{}", self.rows.len()), status, at));
        self.not_read += 1;
        // More than one answer between two looks is more than a legacy platform shows.
        if self.not_read + 1 == PAGE {
            self.polled();
        }
    }

    fn shown<'a>(rows: impl Iterator<Item = &'a (String, &'static str, DateTime<Utc>)>) -> Value {
        rows.take(PAGE)
            .map(|(id, status, at)| {
                let method = match *status {
                    "begun" => "delegate",
                    _ => "delegate_result",
                };
                json!({"id": id, "method": method, "status": status,
                       "created_at": at.to_rfc3339()})
            })
            .collect()
    }

    fn polled(&mut self) {
        self.not_read = 0;
        let cursor = self.state.cursor.clone();
        let answer = match (&cursor, self.speaks) {
            (Some(cursor), Speaks::Candor) => {
                let place = self.rows.iter().position(|row| row.0 == *cursor).unwrap();
                Self::shown(self.rows[place + 1..].iter())
            }
            _ => Self::shown(self.rows.iter().rev()),
        };
        let mut new = rows::parse(&answer);
        match cursor {
            Some(cursor) => {
                self.state.look_again(&new);
                self.state.take(rows::after(&cursor, new));
            }
            None => {
                new.reverse();
                self.state.take(new);
            }
        }
    }

    fn told(&mut self, is_killed: bool) {
        if !self.state.has_news() {
            return;
        }
        let telling = self.state.begin_telling(Utc::now());
        for one in &self.state.unreported[..telling.named] {
            *self.told.entry(one.row.clone()).or_default() += 1;
        }
        match is_killed {
            true => self.killed(),
            false => self.state.told(telling),
        }
    }

    fn killed(&mut self) {
        let disk = serde_json::to_vec(&self.state).unwrap();
        self.state = serde_json::from_slice(&disk).unwrap();
    }

    fn filled_in(&mut self) {
        if self.speaks == Speaks::Legacy
            && let Some(row) = self
                .rows
                .iter_mut()
                .rev()
                .take(3)
                .find(|row| row.1 == "queued")
        {
            row.1 = "completed";
        }
    }
}

fn happens() -> impl Strategy<Value = Happens> {
    let status = prop::sample::select(&["begun", "completed", "failed", "queued"][..]);
    prop_oneof![
        6 => (status, 0..3_i64).prop_map(|(status, later)| Happens::Written(status, later)),
        1 => Just(Happens::FilledIn),
        3 => Just(Happens::Polled),
        2 => Just(Happens::Told),
        1 => Just(Happens::KilledWhileTelling),
        1 => Just(Happens::Killed),
    ]
}

proptest! {
    #[test]
    fn each_result_is_told(
        speaks in prop::sample::select(&[Speaks::Candor, Speaks::Legacy][..]),
        old in 0..4_usize,
        story in prop::collection::vec(happens(), 0..80),
    ) {
        let mut world = World {
            speaks,
            rows: Vec::new(),
            state: State::default(),
            told: BTreeMap::new(),
            not_read: 0,
        };
        for _ in 0..old {
            world.rows.push((format!("old{}", world.rows.len()), "completed", DateTime::UNIX_EPOCH));
        }
        let mut all = rows::parse(&World::shown(world.rows.iter().rev()));
        all.reverse();
        world.state.begin_after(all);
        let mut kills = 0;
        for one in story {
            match one {
                Happens::Written(status, later) => world.written(status, later),
                Happens::FilledIn => {
                    world.filled_in();
                    world.polled();
                }
                Happens::Polled => world.polled(),
                Happens::Told => world.told(false),
                Happens::KilledWhileTelling => {
                    kills += usize::from(world.state.has_news());
                    world.told(true);
                }
                Happens::Killed => world.killed(),
            }
        }
        world.polled();
        world.told(false);
        world.told(false);
        for (id, status, _) in &world.rows {
            let told = world.told.get(id).copied().unwrap_or_default();
            let is_new = !id.starts_with("old");
            match *status {
                "completed" | "failed" if is_new => {
                    prop_assert!(told >= 1, "{} was not told", id);
                    prop_assert!(told <= 1 + kills, "{} was told {} times", id, told);
                }
                _ => prop_assert_eq!(told, 0, "{} is no news", id),
            }
        }
        prop_assert!(!world.state.has_news());
    }
}
