//! Rows many at a time, on streams.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use futures::{Stream, stream};
use prost::bytes::Bytes;
use tokio::sync::mpsc;
use tonic::transport::Channel;
use uuid::Uuid;

use super::load::Measured;
use super::stage::{Candor, Stage};
use super::wire::{self, Rows};
use crate::Result;
use crate::beat::Workspace;

const STREAMS: usize = 4;
/// Rows of a message.
const ROWS: usize = 100;
/// Messages of one stream that wait for their answers.
pub const IN_FLIGHT: usize = 8;
/// Seconds that are not counted.
const WARM_UP: u32 = 1;
/// Longest wait for an answer.
pub const PATIENCE: Duration = Duration::from_secs(10);
const SUMMARY: &str = "bench-batch";

/// What one stream did.
#[derive(Default)]
struct Sent {
    /// From a message to its answer.
    latencies: Vec<Duration>,
    /// Rows that were acknowledged.
    ids: Vec<Uuid>,
}

/// `RecordStream`, each of another workspace and on a connection of its own.
pub async fn measure(stage: &Stage<'_>, candor: &Candor, seconds: u32) -> Result<Measured> {
    let channels = try_join_all((0..STREAMS).map(|_| candor.channel())).await?;
    let warmed = streams(stage, &channels, WARM_UP).await?;
    let watch = candor.watch()?;
    let start = Instant::now();
    let sent = streams(stage, &channels, seconds).await?;
    let (took, cpu) = (start.elapsed(), watch.end()?);
    let ids = [warmed.ids, sent.ids].concat();
    stage.check_rows(SUMMARY, &ids).await?;
    let what = ("gRPC, 100 in a message", "rows/s");
    Ok(Measured::of(what, sent.latencies, ROWS, took, cpu))
}

async fn streams(stage: &Stage<'_>, channels: &[Channel], seconds: u32) -> Result<Sent> {
    let end = Instant::now() + Duration::from_secs(seconds.into());
    let content = Bytes::from(wire::body());
    let tasks = channels.iter().enumerate().map(|(number, channel)| {
        let workspace = stage.workspaces[number % stage.workspaces.len()].clone();
        tokio::spawn(fill(channel.clone(), workspace, content.clone(), end))
    });
    let mut all = Sent::default();
    for sent in try_join_all(tasks).await? {
        let sent = sent?;
        all.latencies.extend(sent.latencies);
        all.ids.extend(sent.ids);
    }
    Ok(all)
}

/// Keeps the stream full until then, and waits for what is on its way.
async fn fill(
    channel: Channel,
    workspace: Workspace,
    content: Bytes,
    end: Instant,
) -> Result<Sent> {
    let (messages, outgoing) = mpsc::channel(IN_FLIGHT);
    let token = wire::token(&workspace)?;
    let mut answers = wire::record_stream(channel, &token, queue(outgoing)).await?;
    let mut waiting: VecDeque<(Instant, Vec<Uuid>)> = VecDeque::new();
    let mut sent = Sent::default();
    loop {
        while waiting.len() < IN_FLIGHT && Instant::now() < end {
            let rows = (0..ROWS).map(|_| wire::row(&workspace, SUMMARY, Some(&content)));
            let (ids, rows) = rows.unzip();
            waiting.push_back((Instant::now(), ids));
            messages.send(Rows { rows }).await?;
        }
        let Some((start, ids)) = waiting.pop_front() else {
            return Ok(sent);
        };
        let answer = tokio::time::timeout(PATIENCE, answers.message()).await??;
        wire::check(&answer.ok_or("the stream was ended")?, &ids)?;
        sent.latencies.push(start.elapsed());
        sent.ids.extend(ids);
    }
}

/// What is put into a channel, as a stream.
pub fn queue(messages: mpsc::Receiver<Rows>) -> impl Stream<Item = Rows> + Send {
    stream::unfold(messages, |mut messages| async move {
        let message = messages.recv().await?;
        Some((message, messages))
    })
}
