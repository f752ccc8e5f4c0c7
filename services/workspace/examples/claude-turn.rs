//! One turn of the executor `claude-code`, told as JSON: for scripts/check-claude-cli.
//!
//! `claude-turn PROGRAM FOLDER PERMISSION-MODE PROMPT [FILE]`: the program runs in the
//! folder `FOLDER/work`; the turn is cancelled as soon as `FILE` exists.

use std::path::{Path, PathBuf};
use std::time::Duration;

use candor_workspace::executor::claude::{ClaudeCode, ClaudeSettings};
use candor_workspace::executor::{Executor as _, Prompt, Turn, Update, Updates};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

type Failed = Box<dyn std::error::Error>;

/// What is left of a cancelled CLI is ended in the background; this is enough for it.
const ENDING: Duration = Duration::from_secs(12);

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [bin, folder, mode, text, rest @ ..] = &*args else {
        return Err("PROGRAM FOLDER PERMISSION-MODE PROMPT [FILE]".into());
    };
    let folder = PathBuf::from(folder);
    let mut settings = ClaudeSettings::new(folder.join("work"), folder.join("session"));
    settings.bin.clone_from(bin);
    settings.permission_mode = mode.parse()?;
    settings.turn_timeout = Duration::from_secs(60);
    if let Ok(seconds) = std::env::var("CANDOR_CLAUDE_INIT_TIMEOUT") {
        settings.init_timeout = Duration::from_secs(seconds.parse()?);
    }
    settings.backoff = Duration::from_millis(100);
    let executor = ClaudeCode::new(settings);
    let (updates, mut told) = Updates::channel();
    let cancel = CancellationToken::new();
    let turn = Turn {
        prompt: Prompt {
            text: text.clone(),
            context_id: "check".to_owned(),
            task_id: "check".to_owned(),
        },
        updates,
        cancel: cancel.clone(),
    };
    let outcome = tokio::select! {
        outcome = executor.turn(turn) => outcome,
        never = cancel_at(rest.first(), cancel) => match never {},
    };
    let updates: Vec<Value> = std::iter::from_fn(|| told.try_recv().ok())
        .map(|update| match update {
            Update::Text(text) => json!({"text": text}),
            Update::Tool { name, summary } => json!({"tool": name, "summary": summary}),
        })
        .collect();
    let outcome = match outcome {
        Ok(answer) => json!({"text": answer.text, "metadata": answer.metadata}),
        Err(error) => json!({"error": error.to_string()}),
    };
    let transcript = executor.transcript(0, 1_000).await;
    println!(
        "{}",
        json!({"outcome": outcome, "updates": updates, "transcript": transcript})
    );
    if !rest.is_empty() {
        tokio::time::sleep(ENDING).await;
    }
    Ok(())
}

/// Cancels when the file is there, and has no end itself.
async fn cancel_at(file: Option<&String>, cancel: CancellationToken) -> std::convert::Infallible {
    if let Some(file) = file {
        while !Path::new(file).exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        cancel.cancel();
    }
    std::future::pending().await
}
