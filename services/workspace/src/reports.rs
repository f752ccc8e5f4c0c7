//! What the agent does, told to the platform while it does it: rows of type
//! `agent_log`. They are worth less than the work itself: what there is no room for is
//! counted and left out.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::executor::{Observer, Update};
use crate::platform::{Call, Platform};

/// Reports that were not sent yet.
const WAITING: usize = 256;
/// Longest text of a report, in characters.
const LONGEST: usize = 500;
/// Between lines about reports that were left out.
const QUIET: Duration = Duration::from_secs(60);

/// Takes reports. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reports(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    waiting: mpsc::Sender<Value>,
    left_out: AtomicU64,
    warned: Mutex<Option<Instant>>,
}

/// Sends them.
#[derive(Debug)]
pub struct Reporter {
    platform: Platform,
    reports: Reports,
    waiting: mpsc::Receiver<Value>,
}

impl Reports {
    /// Who takes reports, and who sends them.
    #[must_use]
    pub fn new(platform: Platform) -> (Self, Reporter) {
        let (sender, waiting) = mpsc::channel(WAITING);
        let reports = Self(Arc::new(Parts {
            waiting: sender,
            left_out: AtomicU64::new(0),
            warned: Mutex::new(None),
        }));
        let reporter = Reporter {
            platform,
            reports: reports.clone(),
            waiting,
        };
        (reports, reporter)
    }

    /// The agent uses a tool. Never waits.
    pub fn tool_use(&self, name: &str, summary: &str) {
        let summary = match summary.trim() {
            "" => name.to_owned(),
            summary => format!("{name}: {summary}"),
        };
        let report = json!({
            "activity_type": "agent_log",
            "method": "tool_use",
            "summary": cut(&summary),
            "status": "ok",
        });
        if self.0.waiting.try_send(report).is_err() {
            self.leave_out("no room for more reports");
        }
    }

    /// Reports that were left out or refused so far.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.0.left_out.load(Ordering::Relaxed)
    }

    fn leave_out(&self, why: &str) {
        let left_out = self.0.left_out.fetch_add(1, Ordering::Relaxed) + 1;
        let mut warned = self.0.warned.lock();
        if warned.is_none_or(|at| at.elapsed() >= QUIET) {
            *warned = Some(Instant::now());
            tracing::warn!(left_out, why, "activity reports are left out");
        }
    }
}

impl Observer for Reports {
    fn observe(&self, update: &Update) {
        if let Update::Tool { name, summary } = update {
            self.tool_use(name, summary);
        }
    }
}

impl Reporter {
    /// Sends reports, one after the other and each once, until it is stopped.
    ///
    /// # Errors
    /// None: a report that fails is left out.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Infallible> {
        let path = format!("/workspaces/{}/activity", self.platform.workspace());
        while let Some(Some(report)) = stop.run_until_cancelled(self.waiting.recv()).await {
            let sending = self.platform.ask(Call::post(path.clone(), report));
            match stop.run_until_cancelled(sending).await {
                Some(Err(error)) => self.reports.leave_out(&error.to_string()),
                Some(Ok(_)) => {}
                None => break,
            }
        }
        stop.cancelled().await;
        Ok(())
    }
}

/// At most so many characters, without what no column can hold.
fn cut(text: &str) -> String {
    text.chars().filter(|c| *c != '\0').take(LONGEST).collect()
}
