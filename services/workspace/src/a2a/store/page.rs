//! A page of tasks (A2A 1.0.1, section 3.1.4).

use candor_a2a::{Error, ErrorKind};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::entry::Entry;
use crate::a2a::message::history_length;
use crate::a2a::wire::{Page, State, Task};

/// Tasks of a page, unless another number is asked for, and at most.
const SIZE: usize = 50;
const LARGEST: usize = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Params {
    #[serde(alias = "context_id")]
    context_id: Option<String>,
    status: Option<Value>,
    #[serde(alias = "page_size")]
    page_size: Option<i64>,
    #[serde(alias = "page_token")]
    page_token: Option<String>,
    #[serde(alias = "history_length")]
    history_length: Option<i64>,
    #[serde(alias = "status_timestamp_after")]
    status_timestamp_after: Option<DateTime<Utc>>,
    #[serde(alias = "include_artifacts")]
    include_artifacts: Option<bool>,
}

/// Which tasks are wanted, and what of them.
#[derive(Debug)]
pub(in crate::a2a) struct Filter {
    context_id: Option<String>,
    state: Option<String>,
    size: usize,
    /// Only changes before this one.
    before: u64,
    history: Option<usize>,
    after: Option<DateTime<Utc>>,
    artifacts: bool,
}

fn invalid(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidParams, text)
}

impl Filter {
    /// Reads the params of `ListTasks`.
    pub(in crate::a2a) fn read(params: &str) -> Result<Self, Error> {
        let params: Params =
            serde_json::from_str(params).map_err(|error| invalid(format!("params: {error}")))?;
        let size = usize::try_from(params.page_size.unwrap_or_default()).unwrap_or(usize::MAX);
        let size = match size {
            0 if params.page_size.is_none() => SIZE,
            1..=LARGEST => size,
            _ => return Err(invalid(format!("pageSize must be from 1 to {LARGEST}"))),
        };
        let before = match params.page_token.as_deref().unwrap_or_default() {
            "" => u64::MAX,
            token => token
                .parse()
                .map_err(|_| invalid("pageToken is none of this agent's"))?,
        };
        Ok(Self {
            context_id: params.context_id.filter(|id| !id.is_empty()),
            state: state(params.status)?,
            size,
            before,
            history: history_length(params.history_length)?,
            after: params.status_timestamp_after,
            artifacts: params.include_artifacts.unwrap_or_default(),
        })
    }

    pub(super) fn page<'a>(&self, tasks: impl Iterator<Item = &'a Entry>) -> Page {
        let mut wanted: Vec<&Entry> = tasks.filter(|entry| self.wants(entry.task())).collect();
        let total_size = wanted.len();
        wanted.retain(|entry| entry.change() < self.before);
        wanted.sort_by_key(|entry| std::cmp::Reverse(entry.change()));
        let is_more = wanted.len() > self.size;
        wanted.truncate(self.size);
        let last = wanted.last().filter(|_| is_more);
        Page {
            next_page_token: last
                .map(|entry| entry.change().to_string())
                .unwrap_or_default(),
            page_size: wanted.len(),
            total_size,
            tasks: wanted
                .into_iter()
                .map(|entry| self.shown(entry.task()))
                .collect(),
        }
    }

    fn wants(&self, task: &Task) -> bool {
        let context = self.context_id.as_ref();
        context.is_none_or(|wanted| *wanted == task.context_id)
            && self
                .after
                .is_none_or(|after| task.status.timestamp >= after)
            && self
                .state
                .as_deref()
                .is_none_or(|wanted| name(task.status.state) == wanted)
    }

    fn shown(&self, task: &Task) -> Task {
        let artifacts = match self.artifacts {
            true => task.artifacts.clone(),
            false => Vec::new(),
        };
        let task = Task {
            artifacts,
            ..task.clone()
        };
        task.with_history(self.history)
    }
}

fn name(state: State) -> String {
    let name = serde_json::to_value(state).unwrap_or_default();
    name.as_str().unwrap_or_default().to_owned()
}

/// A state by its name; `TASK_STATE_UNSPECIFIED` is none. No task is in a state that
/// this agent does not use.
fn state(status: Option<Value>) -> Result<Option<String>, Error> {
    match status {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) if name == "TASK_STATE_UNSPECIFIED" || name.is_empty() => {
            Ok(None)
        }
        Some(Value::String(name)) if name.starts_with("TASK_STATE_") => Ok(Some(name)),
        Some(_) => Err(invalid("status must be the name of a task's state")),
    }
}
