//! The recording's format: one JSON object a line.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A line of a data file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{file}, line {line}: {source}")]
pub struct DataError {
    file: &'static str,
    line: usize,
    source: serde_json::Error,
}

/// A request and its recorded answer, or a statement that prepares one.
#[derive(Debug, Clone, Deserialize)]
pub struct Line {
    /// Lines of one story belong together; each story begins without workspaces.
    pub story: String,
    /// Its number in the story.
    pub n: u32,
    /// A statement that puts a row into a status that no route reaches.
    pub sql: Option<String>,
    /// The request, unless it is a statement.
    #[serde(flatten)]
    pub exchange: Option<Exchange>,
    /// What a canvas saw because of it, as normalised JSON.
    pub events: Option<Vec<String>>,
}

/// What was asked and what was answered.
#[derive(Debug, Clone, Deserialize)]
pub struct Exchange {
    /// The HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The request's headers.
    pub headers: BTreeMap<String, String>,
    /// The request's body.
    pub body: Option<String>,
    /// The answer's status code.
    pub status: u16,
    /// The answer's content type; empty when it had none.
    #[serde(rename = "type")]
    pub content_type: String,
    /// The answer's body, normalised.
    pub answer: String,
    /// Other headers of the answer.
    #[serde(default)]
    pub answer_headers: BTreeMap<String, String>,
    /// Variables to take from the answer: name to dotted path.
    #[serde(default)]
    pub save: BTreeMap<String, String>,
    /// The answer is a list in no particular order.
    #[serde(default)]
    pub unordered: bool,
    /// `agent`: nobody is asked; the answer is what the stub agent was last sent.
    pub to: Option<String>,
    /// The row of the deviations' table by which Candor answers otherwise.
    pub deviates: Option<String>,
    /// The status codes that such a row allows; the recorded one when absent.
    pub candor_status: Option<OneOrMany>,
}

/// One status code, or several that are all right.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// Exactly this one.
    One(u16),
    /// Any of these.
    Many(Vec<u16>),
}

impl OneOrMany {
    /// Is `status` among them?
    #[must_use]
    pub fn allows(&self, status: u16) -> bool {
        match self {
            Self::One(only) => *only == status,
            Self::Many(several) => several.contains(&status),
        }
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<u16> {
        match self {
            Self::One(only) => vec![*only],
            Self::Many(several) => several.clone(),
        }
    }
}

/// The stories whose routes exist, as recorded.
///
/// # Errors
/// [`DataError`] when the file in this crate is damaged.
pub fn original() -> Result<Vec<Line>, DataError> {
    let mut lines = parse(
        "original-step1.jsonl",
        include_str!("../../data/original-step1.jsonl"),
    )?;
    lines.extend(parse(
        "original-step2.jsonl",
        include_str!("../../data/original-step2.jsonl"),
    )?);
    lines.extend(parse(
        "original-step3.jsonl",
        include_str!("../../data/original-step3.jsonl"),
    )?);
    lines.extend(parse(
        "original-step5.jsonl",
        include_str!("../../data/original-step5.jsonl"),
    )?);
    Ok(lines)
}

/// One value a line; empty lines are skipped.
pub(crate) fn parse<T: DeserializeOwned>(
    file: &'static str,
    text: &str,
) -> Result<Vec<T>, DataError> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| {
            serde_json::from_str(line).map_err(|source| DataError {
                file,
                line: number + 1,
                source,
            })
        })
        .collect()
}
