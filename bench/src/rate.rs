//! Requests at a fixed rate, each measured from the time it was due: a platform
//! that stalls does not slow the clock down.
//!
//! One thread and one blocking connection a share of the schedule: timers of an
//! async runtime have a grain of a millisecond, which is what is measured here.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::Result;
use crate::beat::Workspace;
use crate::connection::Connection;
use crate::statistics::percentile;

/// Sleeps end up to this much late; the rest of a wait is spun.
const GRAIN: Duration = Duration::from_micros(120);

/// What to send.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Where.
    pub http: SocketAddr,
    /// Requests a second.
    pub rate: u32,
    /// For how long.
    pub seconds: u32,
    /// Over how many connections.
    pub connections: usize,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Rated {
    /// Requests sent and answered with 200.
    pub requests: u64,
    /// Median latency from the time a request was due.
    pub p50: Duration,
    /// Its 99th percentile.
    pub p99: Duration,
    /// 99th percentile of how late the generator itself was.
    pub late_p99: Duration,
}

struct Sample {
    latency: Duration,
    late: Duration,
}

/// Beats of these workspaces in turn, numbered from 0; the uptime rises with every
/// lap over them.
pub fn beats(
    http: SocketAddr,
    workspaces: &[Workspace],
    uptime: u32,
) -> impl Fn(usize) -> String + Sync {
    let host = http.to_string();
    move |number| {
        let lap = u32::try_from(number / workspaces.len()).unwrap_or(u32::MAX);
        workspaces[number % workspaces.len()].request(&host, uptime.saturating_add(lap))
    }
}

/// A share of a load: sends one request after the other.
pub trait Sender: Send {
    /// Makes ready what is sent next; no part of its latency.
    fn prepare(&mut self, number: usize);

    /// Sends it and waits for the answer; fails when that is not as it should be.
    fn send(&mut self) -> Result<()>;
}

/// Sends whole requests on a connection that is kept.
struct Requests<'a, F> {
    connection: Connection,
    request: &'a F,
    next: String,
}

impl<F: Fn(usize) -> String + Sync> Sender for Requests<'_, F> {
    fn prepare(&mut self, number: usize) {
        self.next = (self.request)(number);
    }

    fn send(&mut self) -> Result<()> {
        match self.connection.call(self.next.as_bytes())?.code {
            200 => Ok(()),
            code => Err(format!("a request was answered with {code}").into()),
        }
    }
}

/// Sends the plan's requests, whole ones by their numbers; fails when one is not
/// answered with 200. Blocks.
pub fn run(plan: &Plan, request: &(impl Fn(usize) -> String + Sync)) -> Result<Rated> {
    let senders = (0..plan.connections).map(|_| {
        Ok(Requests {
            connection: Connection::open(plan.http)?,
            request,
            next: String::new(),
        })
    });
    paced(plan.rate, plan.seconds, senders.collect::<Result<_>>()?)
}

/// So many a second, by all of these in turn. Blocks.
pub fn paced<S: Sender>(rate: u32, seconds: u32, senders: Vec<S>) -> Result<Rated> {
    let start = Instant::now() + Duration::from_millis(50);
    let step = senders.len();
    let total = rate as usize * seconds as usize;
    let shares: Vec<Result<Vec<Sample>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = senders
            .into_iter()
            .enumerate()
            .map(|(first, mut sender)| {
                let numbers = (first..total).step_by(step);
                scope.spawn(move || share(&mut sender, numbers, rate, start))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err("a sender panicked".into()))
            })
            .collect()
    });
    let mut latencies = Vec::new();
    let mut lates = Vec::new();
    for samples in shares {
        for sample in samples? {
            latencies.push(sample.latency);
            lates.push(sample.late);
        }
    }
    latencies.sort_unstable();
    lates.sort_unstable();
    Ok(Rated {
        requests: latencies.len() as u64,
        p50: percentile(&latencies, 50),
        p99: percentile(&latencies, 99),
        late_p99: percentile(&lates, 99),
    })
}

/// Some of the numbers, each when it is due.
fn share(
    sender: &mut impl Sender,
    numbers: impl ExactSizeIterator<Item = usize>,
    rate: u32,
    start: Instant,
) -> Result<Vec<Sample>> {
    let mut samples = Vec::with_capacity(numbers.len());
    for number in numbers {
        sender.prepare(number);
        let due = start + Duration::from_secs_f64(number as f64 / f64::from(rate));
        wait_until(due);
        let late = due.elapsed();
        sender.send()?;
        let latency = due.elapsed();
        samples.push(Sample { latency, late });
    }
    Ok(samples)
}

fn wait_until(due: Instant) {
    let wait = due.saturating_duration_since(Instant::now());
    if let Some(sleep) = wait.checked_sub(GRAIN) {
        std::thread::sleep(sleep);
    }
    while Instant::now() < due {
        std::hint::spin_loop();
    }
}
