//! The one node: what runs on it, and what it can do.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

/// A container that runs.
#[derive(Debug, Clone)]
pub struct Started {
    /// The uid of its Pod.
    pub pod: String,
    /// Its Pod's labels.
    pub labels: BTreeMap<String, String>,
    /// Its image.
    pub image: String,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// Where what is mounted at a path is, on this machine.
    pub mounts: BTreeMap<String, PathBuf>,
}

/// What a program does once it was started, as far as a cluster sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Does {
    /// It ends at once: exit status and last words.
    pub ends: Option<(i32, String)>,
    /// It does not hear that it should end.
    pub is_deaf: bool,
}

/// The program of every container.
pub type Program = Arc<dyn Fn(&Started) -> Does + Send + Sync>;

/// The node.
pub(super) struct Node {
    pub(super) program: Program,
    pub(super) folder: TempDir,
    pub(super) is_full: bool,
    pub(super) is_cut_off: bool,
    pub(super) is_over: bool,
    /// Images that cannot be pulled, and what the registry says.
    pub(super) missing: BTreeMap<String, String>,
    /// What runs, in the order of its start.
    pub(super) runs: Vec<(Started, Does)>,
    /// What runs with these labels does not end, whoever asks.
    pub(super) undying: Vec<(String, String)>,
    /// What a stranger killed, by its Pod's uid, and nobody reported yet.
    pub(super) killed: Vec<String>,
}

impl Node {
    pub(super) fn new(program: Program) -> std::io::Result<Self> {
        Ok(Self {
            program,
            folder: tempfile::tempdir()?,
            is_full: false,
            is_cut_off: false,
            is_over: false,
            missing: BTreeMap::new(),
            runs: Vec::new(),
            undying: Vec::new(),
            killed: Vec::new(),
        })
    }

    pub(super) fn running(&self, labels: &[(&str, &str)]) -> Vec<Started> {
        let runs = self.runs.iter().map(|(started, _)| started);
        runs.filter(|started| matches(started, labels))
            .cloned()
            .collect()
    }

    pub(super) fn is_undying(&self, started: &Started) -> bool {
        let has = |(key, value): &(String, String)| started.labels.get(key) == Some(value);
        !self.undying.is_empty() && self.undying.iter().all(has)
    }

    pub(super) fn kill(&mut self, labels: &[(&str, &str)]) {
        let killed = &mut self.killed;
        self.runs.retain(|(started, _)| {
            let dies = matches(started, labels);
            if dies {
                killed.push(started.pod.clone());
            }
            !dies
        });
    }
}

fn matches(started: &Started, labels: &[(&str, &str)]) -> bool {
    let has = |(key, value): &(&str, &str)| started.labels.get(*key).is_some_and(|v| v == value);
    labels.iter().all(has)
}
