//! One conversation with one process of the CLI: `initialize`, the prompt, events to
//! the result.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

use super::failure::{Failure, Problem};
use super::permission::PermissionMode;
use super::protocol::{self, Block, Event, Over};
use super::session::Session;
use super::settings::ClaudeSettings;
use super::trace::{self, Trace};
use crate::executor::child::{Child, Lines};
use crate::executor::{Answer, Update, Updates};

/// Longest line that is read, in bytes.
const LINE: usize = 8 * 1024 * 1024;
/// Lines that the CLI has not read yet; it asks one question at a time.
const UNREAD: usize = 8;
/// Lines that are no JSON; one more, and it is another program that speaks.
const NOISE: usize = 32;
/// After its result the CLI writes its session and ends.
const END: Duration = Duration::from_secs(10);
/// The id of our one request.
const INITIALIZE: &str = "initialize-1";

/// What a conversation is about.
pub(super) struct Call<'a> {
    pub(super) settings: &'a ClaudeSettings,
    pub(super) session: &'a Session,
    pub(super) resume: Option<&'a str>,
    pub(super) prompt: &'a str,
    pub(super) updates: &'a Updates,
    pub(super) deadline: Instant,
    /// Held until the process is gone.
    pub(super) held: Arc<OwnedMutexGuard<()>>,
}

struct Talk {
    child: Child,
    input: mpsc::Sender<String>,
    lines: Lines<ChildStdout>,
    permission: PermissionMode,
    noise: usize,
    heard: Heard,
}

/// What the agent said and did.
#[derive(Default)]
struct Heard {
    text: String,
    trace: Trace,
    anything: bool,
}

/// Starts the CLI, has one turn with it, and sees it end.
pub(super) async fn once(call: Call<'_>) -> Result<Answer, Failure> {
    let held = Box::new(Arc::clone(&call.held));
    let started = Child::spawn(call.settings.command(call.resume), held);
    let (child, input, stdout) = started.map_err(|source| {
        let bin = call.settings.bin.clone();
        Failure::not_started(&Problem::Start { bin, source })
    })?;
    let mut talk = Talk {
        child,
        input: writer(input),
        lines: Lines::new(stdout, LINE),
        permission: call.settings.permission_mode,
        noise: 0,
        heard: Heard::default(),
    };
    let outcome = talk.turn(&call).await;
    talk.close(&call, outcome).await
}

/// Writes lines as the CLI takes them, and closes its input after the last one. It ends
/// with the CLI at the latest.
fn writer(mut input: ChildStdin) -> mpsc::Sender<String> {
    let (sender, mut lines) = mpsc::channel::<String>(UNREAD);
    tokio::spawn(async move {
        while let Some(line) = lines.recv().await {
            if input.write_all(line.as_bytes()).await.is_err() {
                return;
            }
        }
    });
    sender
}

impl Talk {
    async fn turn(&mut self, call: &Call<'_>) -> Result<Over, Problem> {
        let patience = Instant::now() + call.settings.init_timeout;
        // A turn that has less time than that proves nothing by being over.
        let overdue = match patience <= call.deadline {
            true => Problem::InitTimeout,
            false => Problem::Late,
        };
        let initialized = timeout_at(patience.min(call.deadline), self.initialize()).await;
        match initialized.unwrap_or(Err(overdue))? {
            Some(over) => Ok(over),
            None => timeout_at(call.deadline, self.answer(call))
                .await
                .unwrap_or(Err(Problem::Late)),
        }
    }

    /// Proves that the CLI listens. A turn can be over before, when it refuses its
    /// arguments.
    async fn initialize(&mut self) -> Result<Option<Over>, Problem> {
        self.send(&protocol::initialize(INITIALIZE))?;
        loop {
            match self.next().await? {
                Event::Answered { id, outcome } if id == INITIALIZE => {
                    return outcome.map(|()| None).map_err(Problem::Refused);
                }
                Event::Over(over) => return Ok(Some(over)),
                _ => {}
            }
        }
    }

    async fn answer(&mut self, call: &Call<'_>) -> Result<Over, Problem> {
        self.send(&protocol::message(call.resume, call.prompt))?;
        loop {
            match self.next().await? {
                Event::Session(id) => call.session.begun(&id),
                Event::Retries(summary) => call.updates.tell(Update::Tool {
                    name: "api_retry".to_owned(),
                    summary,
                }),
                Event::Said(blocks) => self.heard.said(blocks, call.updates),
                Event::Over(over) => return Ok(over),
                Event::Answered { .. } | Event::Asks { .. } | Event::Other => {}
            }
        }
    }

    /// The next event; what the CLI asks is answered at once.
    async fn next(&mut self) -> Result<Event, Problem> {
        loop {
            let line = self.lines.next().await;
            let line = line.map_err(|e| Problem::Unreadable(e.to_string()))?;
            let line = line.ok_or(Problem::Ended)?;
            match Event::read(&line) {
                Some(Event::Asks { id, request }) => {
                    let answer = self.permission.answer(&request);
                    self.send(&protocol::response(&id, answer))?;
                }
                Some(event) => return Ok(event),
                None => self.noise(&line)?,
            }
        }
    }

    /// A warning that somebody prints is passed over, another protocol is not.
    fn noise(&mut self, line: &[u8]) -> Result<(), Problem> {
        self.noise += usize::from(!line.trim_ascii().is_empty());
        if self.noise <= NOISE {
            return Ok(());
        }
        let line: String = String::from_utf8_lossy(line).chars().take(200).collect();
        Err(Problem::Unreadable(format!("what is no JSON: {line:?}")))
    }

    /// Gives the CLI a line. It is not waited for: a CLI that writes and waits for its
    /// reader does not read.
    fn send(&mut self, line: &Value) -> Result<(), Problem> {
        match self.input.try_send(format!("{line}\n")) {
            // Who has closed its input may still have said why: it is heard to its end.
            Ok(()) | Err(TrySendError::Closed(_)) => Ok(()),
            Err(TrySendError::Full(_)) => {
                let words = format!("{UNREAD} questions whose answers it does not read");
                Err(Problem::Unreadable(words))
            }
        }
    }

    /// Sees the process end, and makes of it what the turn's caller is told.
    async fn close(
        mut self,
        call: &Call<'_>,
        outcome: Result<Over, Problem>,
    ) -> Result<Answer, Failure> {
        drop(self.input);
        if outcome.as_ref().map_or_else(Problem::is_an_end, |_| true) {
            // Read on: one that cannot write cannot end.
            let rest = async {
                self.lines.drain().await;
                std::future::pending::<()>().await;
            };
            let end = async {
                tokio::select! {
                    () = self.child.wait() => {}
                    () = rest => {}
                }
            };
            let _ends_late = timeout(END, end).await;
        }
        let ended = self.child.end(Duration::ZERO).await;
        let heard = self.heard;
        let over = outcome.map_err(|problem| Failure::new(&problem, heard.anything, &ended))?;
        if let Some(session) = &over.session
            && (over.error.is_none() || heard.anything)
        {
            call.session.keep(session);
        }
        match over.error {
            None => Ok(heard.answer(over.text, over.usage)),
            Some(text) => {
                let status = over.status;
                let problem = Problem::Reported { text, status };
                Err(Failure::new(&problem, heard.anything, &ended))
            }
        }
    }
}

impl Heard {
    fn said(&mut self, blocks: Vec<Block>, updates: &Updates) {
        for block in blocks {
            self.anything = true;
            match block {
                Block::Text(text) => {
                    let gap = if self.text.is_empty() { "" } else { "\n\n" };
                    let piece = format!("{gap}{text}");
                    self.text.push_str(&piece);
                    updates.tell(Update::Text(piece));
                }
                Block::Tool { name, input } => {
                    self.trace.add(&name, &input);
                    let summary = trace::summary(&input);
                    updates.tell(Update::Tool { name, summary });
                }
            }
        }
    }

    /// The answer is the CLI's: what the agent said last.
    fn answer(self, result: String, usage: Option<(u64, u64)>) -> Answer {
        let mut metadata = Map::new();
        if let Some((input, output)) = usage {
            let usage = json!({"input_tokens": input, "output_tokens": output});
            metadata.insert("usage".to_owned(), usage);
        }
        if let Some(trace) = self.trace.told() {
            metadata.insert("tool_trace".to_owned(), trace);
        }
        let text = if result.is_empty() { self.text } else { result };
        Answer { text, metadata }
    }
}
