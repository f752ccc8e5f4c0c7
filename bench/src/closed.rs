//! As many requests as are answered: each share sends its next one as soon as it has
//! the answer to the last, which `wrk` does as well, without a look at answers.

use std::time::{Duration, Instant};

use crate::Result;
use crate::rate::Sender;
use crate::statistics::percentile;

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Flooded {
    /// Requests answered.
    pub requests: u64,
    /// Requests answered in a second.
    pub rate: f64,
    /// Median latency, from the time a request was sent.
    pub p50: Duration,
    /// Its 99th percentile.
    pub p99: Duration,
}

/// Sends by all of these at the same time, for so long. Blocks.
pub fn flood<S: Sender>(seconds: u32, senders: Vec<S>) -> Result<Flooded> {
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds.into());
    let shares: Vec<Result<Vec<Duration>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = senders
            .into_iter()
            .map(|mut sender| scope.spawn(move || share(&mut sender, end)))
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
    let took = start.elapsed();
    let mut latencies = Vec::new();
    for share in shares {
        latencies.append(&mut share?);
    }
    latencies.sort_unstable();
    Ok(Flooded {
        requests: latencies.len() as u64,
        rate: latencies.len() as f64 / took.as_secs_f64().max(1e-9),
        p50: percentile(&latencies, 50),
        p99: percentile(&latencies, 99),
    })
}

fn share(sender: &mut impl Sender, end: Instant) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    // What is made ready is sent: who counts the former counts the latter.
    while Instant::now() < end {
        sender.prepare(latencies.len());
        let sent = Instant::now();
        sender.send()?;
        latencies.push(sent.elapsed());
    }
    Ok(latencies)
}
