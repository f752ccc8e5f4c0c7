//! Streams of events through the relay, all open at the same time: what each costs,
//! and what calls to other agents feel of them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::{Client, Response};
use tokio::task::JoinSet;

use super::agent::PACE;
use super::load::{Load, Measured};
use super::message::{Message, event};
use super::targets::Target;
use crate::Result;
use crate::machine::{peak, resident};

/// The agent of all streams; plain calls go to the others.
const SLOW: usize = 0;
/// The first agent of plain calls.
pub const OTHERS: usize = SLOW + 1;
/// Streams that are being opened at the same time.
const AT_ONCE: usize = 16;
/// Streams that come and go first: what is made once is nobody's cost.
const FIRST: usize = 20;
/// How long nothing is sent before memory is read.
const SETTLE: Duration = Duration::from_secs(3);
/// Seconds of a stream beside those in which calls are measured: it is open before
/// and after.
const BESIDE: u32 = 15;
/// What a gateway may say while there is no event.
const SILENCE: &str = ": keep-alive\n\n";

/// What was measured.
#[derive(Debug)]
pub struct Streams {
    count: usize,
    events: u32,
    /// MiB resident without and with them, and at most.
    before: f64,
    with: f64,
    most: f64,
    alone: Measured,
    meanwhile: Measured,
}

/// An open stream and what came of it so far.
struct Open {
    message: Message,
    response: Response,
    text: String,
}

/// Opens so many streams, reads the platform's memory, measures calls for so many
/// seconds, and reads every stream to its end.
pub async fn measure(target: &Arc<Target>, count: usize, seconds: u32) -> Result<Streams> {
    let load = Load::Paced(seconds);
    let alone = load.on(target).await?;
    let mut first = read(open(target, FIRST, 2).await?, 2);
    ended(&mut first).await?;
    tokio::time::sleep(SETTLE).await;
    let before = resident(target.pid())?;

    let events = seconds + BESIDE;
    let mut streams = read(open(target, count, events).await?, events);
    tokio::time::sleep(SETTLE).await;
    let with = resident(target.pid())?;
    let meanwhile = load.on(target).await?;
    if let Some(ended) = streams.try_join_next() {
        ended??;
        return Err("streams ended while calls were measured: they took too long to open".into());
    }
    ended(&mut streams).await?;
    Ok(Streams {
        count,
        events,
        before,
        with,
        most: peak(target.pid())?,
        alone,
        meanwhile,
    })
}

/// All have their first event.
async fn open(target: &Arc<Target>, count: usize, events: u32) -> Result<Vec<Open>> {
    let client = Client::builder().no_proxy().build()?;
    stream::iter(0..count)
        .map(|_| one(&client, target, events))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

async fn one(client: &Client, target: &Target, events: u32) -> Result<Open> {
    let message = target.next_to(SLOW);
    let url = format!("http://{}{}", target.http, target.path(message));
    let mut request = client
        .post(url)
        .header("content-type", "application/json")
        .body(message.stream_request(events));
    if let Some(sender) = target.sender(message) {
        request = request.bearer_auth(&sender.token);
        request = request.header("x-workspace-id", &sender.id);
    }
    let response = request.send().await?;
    if response.status() != 200 {
        let (status, text) = (response.status(), response.text().await?);
        return Err(format!("a stream was answered with {status} {text}").into());
    }
    let mut open = Open {
        message,
        response,
        text: String::new(),
    };
    let opened = tokio::time::timeout(PACE * BESIDE, open.chunk()).await;
    match opened.map_err(|_| "a stream without a first event")?? {
        true => Ok(open),
        false => Err("a stream was ended before its first event".into()),
    }
}

/// Reads each to its end; fails unless it was all events in their order.
fn read(open: Vec<Open>, events: u32) -> JoinSet<Result<()>> {
    let mut readers = JoinSet::new();
    for mut open in open {
        readers.spawn(async move {
            while open.chunk().await? {}
            let Message { number, agent } = open.message;
            let expected: String = (1..=events)
                .map(|event_number| event(number, agent, event_number, events))
                .collect();
            let got = open.text.replace(SILENCE, "");
            match got == expected {
                true => Ok(()),
                false => Err(format!("a stream was {got:?}, and not {expected:?}").into()),
            }
        });
    }
    readers
}

async fn ended(readers: &mut JoinSet<Result<()>>) -> Result<()> {
    while let Some(ended) = readers.join_next().await {
        ended??;
    }
    Ok(())
}

impl Open {
    /// Reads some more; false at the end.
    async fn chunk(&mut self) -> Result<bool> {
        let chunk = self.response.chunk().await?;
        let chunk = chunk.as_deref().map(std::str::from_utf8).transpose()?;
        self.text.push_str(chunk.unwrap_or_default());
        Ok(chunk.is_some())
    }
}

impl Streams {
    /// What each took.
    fn kib(&self) -> f64 {
        (self.with - self.before) * 1024.0 / self.count.max(1) as f64
    }
}

impl fmt::Display for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "  {} streams of {} events: all of them, in order; resident {:.1} MiB without, {:.1} MiB with them, {:.1} KiB each, {:.1} MiB at most",
            self.count,
            self.events,
            self.before,
            self.with,
            self.kib(),
            self.most
        )?;
        writeln!(f, "  calls to other agents, without streams")?;
        writeln!(f, "{}", self.alone)?;
        writeln!(f, "  calls to other agents, meanwhile")?;
        write!(f, "{}", self.meanwhile)
    }
}
