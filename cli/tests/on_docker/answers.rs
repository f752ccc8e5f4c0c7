//! What instances say of how they were answered, by their logs.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};

use candor_testkit::wait::wait_for;
use tempfile::NamedTempFile;

use crate::engine::{SOON, container, docker};

/// What an instance says from its start to its end.
pub struct Log {
    follower: Child,
    file: NamedTempFile,
}

impl Log {
    /// Of the instance that runs now.
    pub fn of(id: &str) -> Self {
        let file = NamedTempFile::new().unwrap();
        let to = || Stdio::from(File::create(file.path()).unwrap());
        let follower = Command::new("docker")
            .args(["logs", "-f", &container(id)])
            .stdout(to())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { follower, file }
    }

    /// Everything, once the instance has ended.
    pub async fn ended(mut self) -> Answers {
        wait_for("the end of a log", SOON, || {
            let ended = self.follower.try_wait().unwrap();
            async move { ended }
        })
        .await
        .unwrap();
        Answers::in_text(&fs::read_to_string(self.file.path()).unwrap())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.follower.kill().ok();
        self.follower.wait().ok();
    }
}

/// How an instance was answered.
#[derive(Debug)]
pub struct Answers {
    pub registered: usize,
    pub beats: usize,
    /// What was answered otherwise than by 200.
    pub ill: Vec<String>,
}

impl Answers {
    /// So far.
    pub fn now(id: &str) -> Self {
        Self::in_text(&docker(&["logs", &container(id)]))
    }

    fn in_text(log: &str) -> Self {
        let count = |line: &str| log.lines().filter(|one| *one == line).count();
        let told = log
            .lines()
            .filter(|line| line.starts_with("register ") || line.starts_with("beat "));
        let ill = told.filter(|line| !line.ends_with(" 200"));
        Self {
            registered: count("register 200"),
            beats: count("beat 200"),
            ill: ill.map(str::to_owned).collect(),
        }
    }

    /// Registered once, beat, and nothing was refused.
    pub fn assert_well(&self) {
        let well = self.registered == 1 && self.beats > 0 && self.ill.is_empty();
        assert!(well, "{self:?}");
    }
}
