//! The file in which the Claude CLI keeps a session.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use serde_json::Value;

/// Appends entries to a session's file; nothing without `CLAUDE_CONFIG_DIR`, so that
/// nobody's own sessions are touched.
pub(super) fn keep(session: &str, entries: &[Value]) {
    let Some(folder) = std::env::var_os("CLAUDE_CONFIG_DIR").map(PathBuf::from) else {
        return;
    };
    let cwd = std::env::current_dir().unwrap_or_default();
    let name: String = cwd
        .to_string_lossy()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let folder = folder.join("projects").join(name);
    fs::create_dir_all(&folder).ok();
    let file = folder.join(format!("{session}.jsonl"));
    let file = OpenOptions::new().create(true).append(true).open(file);
    if let Ok(mut file) = file {
        for entry in entries {
            file.write_all(format!("{entry}\n").as_bytes()).ok();
        }
    }
}
