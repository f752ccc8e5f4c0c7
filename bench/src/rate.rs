//! Requests at a fixed rate, each measured from the time it was due: a platform
//! that stalls does not slow the clock down.
//!
//! One thread and one blocking connection a share of the schedule: timers of an
//! async runtime have a grain of a millisecond, which is what is measured here.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::Result;
use crate::beat::Workspace;
use crate::statistics::percentile;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Sleeps end up to this much late; the rest of a wait is spun.
const GRAIN: Duration = Duration::from_micros(120);
/// The largest answer that is read.
const LARGEST: usize = 1024 * 1024;

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

/// Sends the plan's requests, whole ones by their numbers; fails when one is not
/// answered with 200. Blocks.
pub fn run(plan: &Plan, request: &(impl Fn(usize) -> String + Sync)) -> Result<Rated> {
    let start = Instant::now() + Duration::from_millis(50);
    let shares: Vec<Result<Vec<Sample>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.connections)
            .map(|first| scope.spawn(move || share(plan, request, first, start)))
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

/// Every `connections`-th request, from the one numbered `first`.
fn share(
    plan: &Plan,
    request: &(impl Fn(usize) -> String + Sync),
    first: usize,
    start: Instant,
) -> Result<Vec<Sample>> {
    let mut stream = TcpStream::connect(plan.http)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let total = plan.rate as usize * plan.seconds as usize;
    let mut samples = Vec::with_capacity(total / plan.connections + 1);
    for number in (first..total).step_by(plan.connections) {
        let request = request(number);
        let due = start + Duration::from_secs_f64(number as f64 / f64::from(plan.rate));
        wait_until(due);
        let late = due.elapsed();
        stream.write_all(request.as_bytes())?;
        let code = answer(&mut stream)?;
        let latency = due.elapsed();
        if code != 200 {
            return Err(format!("a request was answered with {code}").into());
        }
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

/// Reads one answer and returns its code.
fn answer(stream: &mut TcpStream) -> Result<u16> {
    let mut bytes = [0; 4096];
    let mut read = Vec::new();
    loop {
        let count = stream.read(&mut bytes)?;
        if count == 0 {
            return Err("the connection was closed in an answer".into());
        }
        read.extend_from_slice(&bytes[..count]);
        if let Some((code, length)) = parse(&read)?
            && read.len() >= length
        {
            return Ok(code);
        }
        if read.len() > LARGEST {
            return Err("an answer without an end".into());
        }
    }
}

/// The code and the length of the answer that begins here, once its head is there.
fn parse(read: &[u8]) -> Result<Option<(u16, usize)>> {
    let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&read[..end])?;
    let mut lines = head.split("\r\n");
    let code = lines.next().and_then(|line| line.split(' ').nth(1));
    let code = code.ok_or("an answer without a code")?.parse()?;
    let length: usize = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .ok_or("an answer without Content-Length")?
        .1
        .trim()
        .parse()?;
    Ok(Some((code, end + 4 + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let text = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        assert_eq!(parse(&text[..20]).unwrap(), None);
        assert_eq!(parse(text).unwrap(), Some((200, text.len())));
        let refused = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(parse(refused).unwrap(), Some((401, refused.len())));
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(parse(b"nonsense\r\n\r\n").is_err());
    }
}
