//! Rows one at a time: each is a request of its own.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use prost::bytes::Bytes;
use tonic::transport::Channel;
use uuid::Uuid;

use super::load::Measured;
use super::stage::{Candor, Stage};
use super::wire;
use crate::Result;
use crate::beat::Workspace;
use crate::wrk::{self, Load};

/// Requests at the same time.
const AT_ONCE: usize = 64;
/// Connections of the gRPC calls.
const CHANNELS: usize = 4;
/// Seconds that are not counted.
const WARM_UP: u32 = 1;
const OVER_HTTP: &str = "bench-http";
const OVER_GRPC: &str = "bench-grpc";

/// `POST /workspaces/:id/activity` by wrk.
pub async fn http(
    stage: &Stage<'_>,
    candor: &Candor,
    folder: &Path,
    seconds: u32,
) -> Result<Measured> {
    let script = wrk::write(folder, "rows.lua", include_str!("rows.lua"))?;
    let body = wire::body();
    let arguments = [stage.file.as_os_str(), body.as_ref(), OVER_HTTP.as_ref()];
    let load = |seconds| Load {
        script: &script,
        url: format!("http://{}", candor.http),
        connections: AT_ONCE as u32,
        seconds,
    };
    let warmed = load(WARM_UP).run(&arguments).await?;
    let watch = candor.watch()?;
    let loaded = load(seconds).run(&arguments).await?;
    let cpu = watch.end()?;
    // wrk leaves with requests on their way: there may be more rows than answers.
    let (told, found) = (
        warmed.requests + loaded.requests,
        stage.rows_of(OVER_HTTP).await?,
    );
    if found < told {
        return Err(format!("{told} rows were acknowledged, {found} are there").into());
    }
    Ok(Measured {
        what: "HTTP, one at a time",
        unit: "rows/s",
        rate: loaded.rate,
        p50: loaded.p50,
        p99: loaded.p99,
        cpu,
    })
}

/// `Record` calls.
pub async fn grpc(stage: &Stage<'_>, candor: &Candor, seconds: u32) -> Result<Measured> {
    let channels = try_join_all((0..CHANNELS).map(|_| candor.channel())).await?;
    let mut ids = Vec::new();
    let warmed = callers(stage, &channels, WARM_UP).await?;
    ids.extend(warmed.into_iter().map(|(id, _)| id));
    let watch = candor.watch()?;
    let start = Instant::now();
    let called = callers(stage, &channels, seconds).await?;
    let (took, cpu) = (start.elapsed(), watch.end()?);
    let latencies = called.iter().map(|(_, latency)| *latency).collect();
    ids.extend(called.into_iter().map(|(id, _)| id));
    stage.check_rows(OVER_GRPC, &ids).await?;
    let what = ("gRPC, one at a time", "rows/s");
    Ok(Measured::of(what, latencies, 1, took, cpu))
}

type Called = Vec<(Uuid, Duration)>;

async fn callers(stage: &Stage<'_>, channels: &[Channel], seconds: u32) -> Result<Called> {
    let end = Instant::now() + Duration::from_secs(seconds.into());
    let content = Bytes::from(wire::body());
    let tasks = (0..AT_ONCE).map(|number| {
        let workspaces = &stage.workspaces;
        // Each has its own workspaces, as far as there are enough.
        let own: Vec<Workspace> = (number % workspaces.len()..workspaces.len())
            .step_by(AT_ONCE)
            .map(|at| workspaces[at].clone())
            .collect();
        let channel = channels[number % channels.len()].clone();
        tokio::spawn(caller(channel, own, content.clone(), end))
    });
    let mut all = Vec::new();
    for called in try_join_all(tasks).await? {
        all.extend(called?);
    }
    Ok(all)
}

async fn caller(
    channel: Channel,
    workspaces: Vec<Workspace>,
    content: Bytes,
    end: Instant,
) -> Result<Called> {
    let tokens = workspaces
        .iter()
        .map(|workspace| Ok((workspace, wire::token(workspace)?)))
        .collect::<Result<Vec<_>>>()?;
    let mut called = Vec::new();
    for (workspace, token) in tokens.iter().cycle() {
        if Instant::now() >= end {
            break;
        }
        let (id, row) = wire::row(workspace, OVER_GRPC, Some(&content));
        let start = Instant::now();
        let recorded = wire::record(channel.clone(), token, row).await?;
        called.push((id, start.elapsed()));
        if recorded.id != id.to_string() {
            return Err(format!("the row {id} was recorded as {}", recorded.id).into());
        }
    }
    Ok(called)
}
