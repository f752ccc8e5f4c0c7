//! What Candor answers where it deviates from the original on purpose.

use std::collections::BTreeMap;

use regex::Regex;
use serde::Deserialize;

use super::line::{DataError, OneOrMany, parse};

/// Candor's own answer to one deviating line.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The line's story.
    pub story: String,
    /// The line's number.
    pub n: u32,
    /// The row of the deviations' table.
    pub deviation: String,
    /// The status code, or those that its timing allows.
    pub status: OneOrMany,
    /// The exact body, normalised; members that Candor adds are not compared.
    pub answer: Option<String>,
    /// Or a pattern that the whole body matches.
    pub pattern: Option<String>,
    /// The event rows it leaves, as normalised JSON, sorted.
    #[serde(default)]
    pub events: Vec<String>,
}

/// All expectations, by story and number.
#[derive(Debug, Default)]
pub struct Expectations(BTreeMap<(String, u32), Expectation>);

impl Expectations {
    /// Those of `data/candor-step*.jsonl`.
    ///
    /// # Errors
    /// [`DataError`] when a file in this crate is damaged.
    pub fn load() -> Result<Self, DataError> {
        let mut lines: Vec<Expectation> = parse(
            "candor-step1.jsonl",
            include_str!("../../data/candor-step1.jsonl"),
        )?;
        lines.extend(parse(
            "candor-step2.jsonl",
            include_str!("../../data/candor-step2.jsonl"),
        )?);
        lines.extend(parse(
            "candor-step3.jsonl",
            include_str!("../../data/candor-step3.jsonl"),
        )?);
        lines.extend(parse(
            "candor-step5.jsonl",
            include_str!("../../data/candor-step5.jsonl"),
        )?);
        let by_line = lines
            .into_iter()
            .map(|line| ((line.story.clone(), line.n), line));
        Ok(Self(by_line.collect()))
    }

    /// The expectation of a line.
    #[must_use]
    pub fn of(&self, story: &str, n: u32) -> Option<&Expectation> {
        self.0.get(&(story.to_owned(), n))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Expectation> {
        self.0.values()
    }
}

impl Expectation {
    /// Does this normalised body say what is expected?
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn check(&self, body: &str) -> Result<(), String> {
        match (&self.answer, &self.pattern) {
            (Some(answer), None) if answer == body => Ok(()),
            (Some(answer), None) => Err(format!("answered {body}\n  expected {answer}")),
            (None, Some(pattern)) => match Regex::new(&format!("^(?:{pattern})$")) {
                Ok(whole) if whole.is_match(body) => Ok(()),
                Ok(_) => Err(format!("answered {body}\n  expected a match of {pattern}")),
                Err(error) => Err(error.to_string()),
            },
            _ => Err("an expectation has either an answer or a pattern".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::replay::line::original;
    use crate::replay::pending::PENDING;

    #[test]
    fn every_deviating_line_has_exactly_one_expectation() {
        let expectations = Expectations::load().unwrap();
        let lines = original().unwrap();
        let mut deviating = 0;
        for line in &lines {
            let row = line.exchange.as_ref().and_then(|e| e.deviates.as_deref());
            let expected = expectations.of(&line.story, line.n);
            let named = expected.map(|expected| expected.deviation.as_str());
            assert_eq!(named, row, "{} n={}", line.story, line.n);
            deviating += usize::from(row.is_some());
        }
        assert_eq!(expectations.iter().count(), deviating);
    }

    #[test]
    fn expectations_keep_to_the_status_their_row_allows() {
        let expectations = Expectations::load().unwrap();
        for line in original().unwrap() {
            let Some(expected) = expectations.of(&line.story, line.n) else {
                continue;
            };
            let exchange = line.exchange.unwrap();
            for status in expected.status.all() {
                let allowed = exchange.candor_status.as_ref().map_or_else(
                    || status == exchange.status,
                    |statuses| statuses.allows(status),
                );
                assert!(allowed, "{} n={}", line.story, line.n);
            }
        }
    }

    #[test]
    fn an_expectation_is_an_answer_or_a_pattern_that_compiles() {
        for expected in Expectations::load().unwrap().iter() {
            assert!(expected.answer.is_some() != expected.pattern.is_some());
            if let Some(pattern) = &expected.pattern {
                Regex::new(pattern).unwrap();
            }
        }
    }

    #[test]
    fn pending_lines_exist() {
        let lines = original().unwrap();
        for pending in PENDING {
            let found = lines
                .iter()
                .any(|line| line.story == pending.story && line.n == pending.n);
            assert!(found, "{pending:?}");
        }
    }
}
