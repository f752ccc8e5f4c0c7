//! The executor `claude-code` with a stand-in for its CLI.
#![allow(dead_code)] // each test binary uses a part of it

use std::path::PathBuf;
use std::time::Duration;

use candor_testkit::claude_stand_in::{Log, Start};
use candor_workspace::executor::claude::{ClaudeCode, ClaudeSettings};
use candor_workspace::executor::{Answer, Executor as _, Prompt, Turn, TurnError, Update, Updates};
use tempfile::TempDir;
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

/// Far more than anything here takes.
pub const LONG: Duration = Duration::from_secs(30);

/// A folder with all that an agent has.
pub struct Place {
    folder: TempDir,
    pub settings: ClaudeSettings,
}

impl Place {
    /// An agent whose CLI behaves so.
    pub fn new(behaviour: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let work = at("my work.dir");
        std::fs::create_dir(&work).unwrap();
        let mut settings = ClaudeSettings::new(work, at("session"));
        let beside = PathBuf::from(env!("CARGO_BIN_EXE_candor-workspace"));
        let stand_in = beside.with_file_name("claude-stand-in");
        assert!(stand_in.exists(), "cargo build -p candor-testkit --bins");
        settings.bin = stand_in.to_str().unwrap().to_owned();
        settings.backoff = Duration::from_millis(10);
        settings.env = [
            ("CLAUDE_STAND_IN", at("behaviour")),
            ("CLAUDE_STAND_IN_LOG", at("log")),
            ("CLAUDE_STAND_IN_STATE", at("state")),
            ("CLAUDE_CONFIG_DIR", at("config")),
        ]
        .map(|(name, path)| (name.to_owned(), path.to_str().unwrap().to_owned()))
        .to_vec();
        let place = Self { folder, settings };
        place.behave(behaviour);
        place
    }

    /// How its CLI behaves from its next start on.
    pub fn behave(&self, behaviour: &str) {
        std::fs::write(self.folder.path().join("behaviour"), behaviour).unwrap();
    }

    pub fn executor(&self) -> ClaudeCode {
        ClaudeCode::new(self.settings.clone())
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Every start of the CLI so far.
    pub fn starts(&self) -> Vec<Start> {
        Log::new(self.at("log")).starts()
    }
}

/// A turn about a text, and what is told of it.
pub fn turn(text: &str) -> (Turn, Receiver<Update>) {
    let (updates, told) = Updates::channel();
    let turn = Turn {
        prompt: Prompt {
            text: text.to_owned(),
            context_id: "context".to_owned(),
            task_id: "task".to_owned(),
        },
        updates,
        cancel: CancellationToken::new(),
    };
    (turn, told)
}

/// One turn to its end.
pub async fn ask(executor: &ClaudeCode, text: &str) -> Result<Answer, TurnError> {
    let outcome = tokio::time::timeout(LONG, executor.turn(turn(text).0)).await;
    outcome.expect("a turn that ends")
}

/// The error of one that fails.
pub async fn fail(executor: &ClaudeCode) -> String {
    match ask(executor, "hello").await {
        Err(TurnError::Failed(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// What was told so far.
pub fn told(receiver: &mut Receiver<Update>) -> Vec<Update> {
    std::iter::from_fn(|| receiver.try_recv().ok()).collect()
}
