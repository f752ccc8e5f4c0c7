//! Events at a fixed rate: rows that are announced, one event each.
//!
//! It has a thread of its own, beside the many sockets' readers: what they do
//! with the CPU moves no event's time by more than the scheduler does.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tonic::Streaming;
use uuid::Uuid;

use super::batched::{IN_FLIGHT, PATIENCE, queue};
use super::sockets::{DIGITS, MARK};
use super::stage::channel;
use super::wire::{self, Outcomes, Rows};
use crate::Result;
use crate::beat::Workspace;

/// Rows of one message, at most.
const MOST_ROWS: u32 = 256;

/// What to send.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where.
    pub grpc: SocketAddr,
    /// Whose rows they are.
    pub workspace: Workspace,
    /// Events a second.
    pub rate: u32,
    /// For how long.
    pub seconds: u32,
    /// When number 0 is due.
    pub start: Instant,
}

impl Plan {
    /// How many events.
    pub fn events(&self) -> u32 {
        self.rate * self.seconds
    }

    /// When an event is to be sent.
    pub fn due(&self, number: u32) -> Instant {
        self.start + Duration::from_secs_f64(f64::from(number) / f64::from(self.rate))
    }
}

/// Sends all events; returns how late each was sent. Blocks.
pub fn send(plan: &Plan) -> Result<Vec<Duration>> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(paced(plan))
}

/// An open stream.
struct Sender<'a> {
    plan: &'a Plan,
    messages: mpsc::Sender<Rows>,
    answers: Streaming<Outcomes>,
    /// The rows of each message that was not answered yet.
    waiting: VecDeque<Vec<Uuid>>,
    next: u32,
    late: Vec<Duration>,
}

async fn paced(plan: &Plan) -> Result<Vec<Duration>> {
    let (messages, outgoing) = mpsc::channel(IN_FLIGHT);
    let token = wire::token(&plan.workspace)?;
    let channel = channel(plan.grpc).await?;
    let answers = wire::record_stream(channel, &token, queue(outgoing)).await?;
    let mut sender = Sender {
        plan,
        messages,
        answers,
        waiting: VecDeque::new(),
        next: 0,
        late: Vec::new(),
    };
    sender.run().await?;
    Ok(sender.late)
}

impl Sender<'_> {
    async fn run(&mut self) -> Result<()> {
        let total = self.plan.events();
        while self.next < total || !self.waiting.is_empty() {
            if self.next == total || self.waiting.len() == IN_FLIGHT {
                let answer = tokio::time::timeout(PATIENCE, self.answers.message()).await??;
                self.settle(answer)?;
                continue;
            }
            let due = self.plan.due(self.next);
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(due.into()) => self.send_what_is_due().await?,
                answer = self.answers.message(), if !self.waiting.is_empty() => {
                    self.settle(answer?)?;
                }
            }
        }
        Ok(())
    }

    /// In one message: a sender that was held up does not fall further behind.
    async fn send_what_is_due(&mut self) -> Result<()> {
        let (mut ids, mut rows) = (Vec::new(), Vec::new());
        let now = Instant::now();
        let most = self.plan.events().min(self.next + MOST_ROWS);
        while self.next < most && self.plan.due(self.next) <= now {
            let summary = format!("{MARK}{:0DIGITS$}", self.next);
            let (id, row) = wire::row(&self.plan.workspace, &summary, None);
            self.late.push(now - self.plan.due(self.next));
            ids.push(id);
            rows.push(row);
            self.next += 1;
        }
        self.waiting.push_back(ids);
        self.messages.send(Rows { rows }).await?;
        Ok(())
    }

    fn settle(&mut self, answer: Option<Outcomes>) -> Result<()> {
        let ids = self.waiting.pop_front().unwrap_or_default();
        wire::check(&answer.ok_or("the stream was ended")?, &ids)
    }
}
