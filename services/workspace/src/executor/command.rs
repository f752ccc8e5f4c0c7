//! `command`: a program of any kind, run once for each turn. The prompt is its
//! standard input, the answer its standard output.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::child::{Child, Ended};
use super::{Answer, Executor, Prompt, Turn, TurnError, Update, Updates};

/// Longest answer, in bytes.
const ANSWER: usize = 1024 * 1024;
/// For what is still in the pipe when the program has ended; somebody that it started
/// may hold the pipe open for ever.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How the program is run.
#[derive(Debug, Clone)]
pub struct CommandSettings {
    /// The program and its arguments; no shell reads them.
    pub program: Vec<String>,
    /// How long a turn may take.
    pub timeout: Duration,
    /// Where it runs.
    pub working_dir: PathBuf,
    /// Turns that run at a time.
    pub parallel: usize,
    /// Set in its environment, over what this process has itself.
    pub env: Vec<(String, String)>,
}

/// Runs a program for each turn.
#[derive(Debug, Clone)]
pub struct CommandLine {
    settings: CommandSettings,
    /// Held until a program is gone: one that was cancelled takes its time to end.
    places: Arc<Semaphore>,
}

/// What went wrong while the program ran.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("no answer within {0:?}")]
    Late(Duration),
    #[error("an answer of more than {ANSWER} bytes")]
    TooLong,
}

/// An answer while it comes, in pieces that are text.
struct Output<'a> {
    updates: &'a Updates,
    text: String,
    bytes: usize,
    /// The beginning of a character whose end has not come yet.
    pending: Vec<u8>,
}

// === impl CommandLine ===

impl CommandLine {
    /// With these settings.
    #[must_use]
    pub fn new(settings: CommandSettings) -> Self {
        let places = Arc::new(Semaphore::new(settings.parallel.max(1)));
        Self { settings, places }
    }

    fn command(&self, prompt: &Prompt) -> Option<Command> {
        let (program, arguments) = self.settings.program.split_first()?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&self.settings.working_dir)
            .envs(self.settings.env.iter().map(|(name, value)| (name, value)))
            .env("CANDOR_CONTEXT_ID", &prompt.context_id)
            .env("CANDOR_TASK_ID", &prompt.task_id);
        Some(command)
    }

    async fn run(&self, turn: &Turn) -> Result<Answer, String> {
        let Some(command) = self.command(&turn.prompt) else {
            return Err("no program is configured".to_owned());
        };
        let place = Arc::clone(&self.places).acquire_owned().await;
        let (mut child, stdin, mut stdout) = Child::spawn(command, Box::new(place))
            .map_err(|e| format!("{}: cannot be started: {e}", self.settings.program[0]))?;
        let mut output = Output::new(&turn.updates);
        let work = async {
            let heard = hear(&mut child, &mut stdout, &mut output);
            tokio::select! {
                heard = heard => heard,
                never = say(stdin, &turn.prompt.text) => match never {},
            }
        };
        let outcome = timeout(self.settings.timeout, work)
            .await
            .unwrap_or(Err(Problem::Late(self.settings.timeout)));
        let ended = child.end(Duration::ZERO).await;
        match outcome {
            Ok(()) if ended.status.is_some_and(|status| status.success()) => Ok(output.answer()),
            Ok(()) => Err(failed(&ended)),
            Err(problem) => Err(ended.error(&problem.to_string())),
        }
    }
}

fn failed(ended: &Ended) -> String {
    ended.error("the program failed")
}

/// Gives it the prompt, and has no say in when the turn ends. A program that does not
/// read its prompt is no error.
async fn say(mut stdin: ChildStdin, prompt: &str) -> Infallible {
    let _not_read = stdin.write_all(prompt.as_bytes()).await;
    drop(stdin);
    std::future::pending().await
}

/// Reads to the end of the program, which need not be the end of its output.
async fn hear(
    child: &mut Child,
    stdout: &mut ChildStdout,
    output: &mut Output<'_>,
) -> Result<(), Problem> {
    let mut reading = std::pin::pin!(output.read(stdout));
    tokio::select! {
        biased;
        read = &mut reading => {
            read?;
            child.wait().await;
            Ok(())
        }
        () = child.wait() => timeout(LAST_WORDS, reading).await.unwrap_or(Ok(())),
    }
}

#[async_trait]
impl Executor for CommandLine {
    fn name(&self) -> &'static str {
        "command"
    }

    fn idle_budget(&self) -> Option<Duration> {
        Some(self.settings.timeout)
    }

    fn parallel(&self) -> usize {
        self.settings.parallel.max(1)
    }

    async fn turn(&self, turn: Turn) -> Result<Answer, TurnError> {
        tokio::select! {
            biased;
            () = turn.cancel.cancelled() => Err(TurnError::Cancelled),
            outcome = self.run(&turn) => outcome.map_err(TurnError::Failed),
        }
    }
}

// === impl Output ===

impl<'a> Output<'a> {
    fn new(updates: &'a Updates) -> Self {
        Self {
            updates,
            text: String::new(),
            bytes: 0,
            pending: Vec::new(),
        }
    }

    async fn read(&mut self, stdout: &mut ChildStdout) -> Result<(), Problem> {
        let mut piece = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = stdout.read(&mut piece).await {
            self.bytes += length;
            if self.bytes > ANSWER {
                return Err(Problem::TooLong);
            }
            self.push(&piece[..length]);
        }
        Ok(())
    }

    fn push(&mut self, piece: &[u8]) {
        self.pending.extend_from_slice(piece);
        let complete = complete(&self.pending);
        let rest = self.pending.split_off(complete);
        let text = std::mem::replace(&mut self.pending, rest);
        self.tell(&text);
    }

    fn tell(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        if !text.is_empty() {
            self.text.push_str(&text);
            self.updates.tell(Update::Text(text.into_owned()));
        }
    }

    fn answer(mut self) -> Answer {
        let rest = std::mem::take(&mut self.pending);
        self.tell(&rest);
        let text = self.text.strip_suffix('\n').unwrap_or(&self.text);
        let text = text.strip_suffix('\r').unwrap_or(text).to_owned();
        Answer {
            text,
            ..Answer::default()
        }
    }
}

/// Bytes up to a character that has only begun.
fn complete(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        match std::str::from_utf8(&bytes[at..]) {
            Ok(_) => return bytes.len(),
            Err(error) => {
                at += error.valid_up_to();
                match error.error_len() {
                    // What is no text at all is told as such.
                    Some(wrong) => at += wrong,
                    None => return at,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_is_not_cut() {
        assert_eq!(complete("wörld".as_bytes()), 6);
        assert_eq!(complete(b"w\xc3"), 1);
        assert_eq!(complete(b"\xff\xfeok\xe2\x82"), 4);
        let (updates, mut told) = Updates::channel();
        let mut output = Output::new(&updates);
        for byte in "ö!\n".bytes() {
            output.push(&[byte]);
        }
        assert_eq!(output.answer().text, "ö!");
        assert_eq!(told.try_recv().ok(), Some(Update::Text("ö".into())));
    }
}
