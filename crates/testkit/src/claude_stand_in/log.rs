//! What a stand-in for the Claude CLI was started with, and told.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

/// The file that it writes, and a test reads.
#[derive(Debug, Clone)]
pub struct Log(PathBuf);

/// One start of the program.
#[derive(Debug, Clone)]
pub struct Start {
    /// Its process id.
    pub pid: i32,
    /// Its arguments, without its name.
    pub args: Vec<String>,
    /// The lines that it was told, each JSON.
    pub told: Vec<Value>,
    /// The processes that it started.
    pub children: Vec<i32>,
}

impl Log {
    /// The log in a file; nothing is written if that has no name.
    #[must_use]
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self(file.into())
    }

    pub(super) fn started(&self, args: &[String]) {
        self.write(&json!({"pid": std::process::id(), "args": args}));
    }

    pub(super) fn told(&self, line: &Value) {
        self.write(&json!({"line": line}));
    }

    pub(super) fn child(&self, pid: u32) {
        self.write(&json!({"child": pid}));
    }

    fn write(&self, entry: &Value) {
        let file = OpenOptions::new().create(true).append(true).open(&self.0);
        if let Ok(mut file) = file {
            // The test that misses the line says so.
            file.write_all(format!("{entry}\n").as_bytes()).ok();
        }
    }

    /// Every start so far.
    #[must_use]
    pub fn starts(&self) -> Vec<Start> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        let number = |value: &Value| value.as_i64().and_then(|n| i32::try_from(n).ok());
        let mut starts: Vec<Start> = Vec::new();
        for entry in text.lines() {
            // A line that is being written is read the next time.
            let Ok(mut entry) = serde_json::from_str::<Value>(entry) else {
                break;
            };
            if let Some(pid) = number(&entry["pid"]) {
                starts.push(Start {
                    pid,
                    args: serde_json::from_value(entry["args"].take()).unwrap_or_default(),
                    told: Vec::new(),
                    children: Vec::new(),
                });
            } else if let Some(start) = starts.last_mut() {
                start.children.extend(number(&entry["child"]));
                if entry.get("line").is_some() {
                    start.told.push(entry["line"].take());
                }
            }
        }
        starts
    }
}

impl Start {
    /// The value after an option.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&str> {
        let at = self.args.iter().position(|arg| arg == name)?;
        self.args.get(at + 1).map(String::as_str)
    }
}
