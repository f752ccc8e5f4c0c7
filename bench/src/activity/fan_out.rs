//! Events to many sockets: each must get every event once, in the log's order.

use std::collections::HashSet;
use std::fmt;
use std::time::{Duration, Instant};

use sqlx::Connection as _;

use super::load::Measured;
use super::pacer::{self, Plan};
use super::sockets::{Inbox, MARK, Sockets, number};
use super::stage::{Candor, Stage};
use crate::Result;
use crate::machine::{peak, resident};
use crate::statistics::{millis, percentile};

/// From the last handshake to the first event.
const SETTLE: Duration = Duration::from_secs(1);
/// How long after the last event the sockets may still be behind.
const PATIENCE: Duration = Duration::from_secs(15);
/// Broken sockets that are told one by one.
const TOLD: usize = 3;

/// How many sockets, and how many events a second.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Also the name of its database.
    pub name: &'static str,
    /// Open sockets.
    pub sockets: usize,
    /// Events a second.
    pub rate: u32,
    /// For how long.
    pub seconds: u32,
}

/// What was measured.
#[derive(Debug)]
pub struct FanOut {
    size: Size,
    /// Events that were delivered, of all sockets together.
    delivered: usize,
    wanted: usize,
    load: Measured,
    late_p99: Duration,
    /// MiB resident before the sockets, and at the end of the events.
    resident: (f64, f64),
    peak: f64,
    /// What did not come as it should.
    pub broken: Vec<String>,
}

/// Sends the events and reads them.
pub async fn measure(stage: &Stage<'_>, candor: &Candor, size: Size) -> Result<FanOut> {
    let before = resident(candor.pid()?)?;
    let events = size.rate as usize * size.seconds as usize;
    let mut sockets = Sockets::open(candor.http, size.sockets, events).await?;
    tokio::time::sleep(SETTLE).await;
    let plan = Plan {
        grpc: candor.grpc,
        workspace: stage.first()?.clone(),
        rate: size.rate,
        seconds: size.seconds,
        start: Instant::now() + Duration::from_millis(100),
    };
    let watch = candor.watch()?;
    let sending = plan.clone();
    let sender = tokio::task::spawn_blocking(move || pacer::send(&sending));
    let mut late = sender.await??;
    let after = resident(candor.pid()?)?;
    sockets.wait(PATIENCE).await?;
    let (took, cpu) = (plan.start.elapsed(), watch.end()?);
    // The kernel notes the peak a little late.
    let peak = peak(candor.pid()?)?.max(after);
    let inboxes = sockets.inboxes();
    late.sort_unstable();

    let expected = logged(stage).await?;
    let mut broken = Vec::from_iter(unlogged(&expected, &plan));
    broken.extend(faults(&inboxes, &expected));
    Ok(FanOut {
        size,
        delivered: inboxes.iter().map(distinct).sum(),
        wanted: inboxes.len() * events,
        load: Measured::of(
            ("from due to received", "frames/s"),
            latencies(&inboxes, &plan),
            1,
            took,
            cpu,
        ),
        late_p99: percentile(&late, 99),
        resident: (before, after),
        peak,
        broken,
    })
}

/// The numbers of the rows that are in the log, in its order.
async fn logged(stage: &Stage<'_>) -> Result<Vec<u32>> {
    let mut inside = stage.inside().await?;
    let summaries: Vec<String> = sqlx::query_scalar(
        "SELECT summary FROM public.activity_logs
         WHERE summary LIKE $1 || '%' ORDER BY created_at, seq",
    )
    .bind(MARK)
    .fetch_all(&mut inside)
    .await?;
    inside.close().await?;
    Ok(summaries.iter().filter_map(|text| number(text)).collect())
}

/// Every row was acknowledged, so it must be there once.
fn unlogged(logged: &[u32], plan: &Plan) -> Option<String> {
    let there: HashSet<_> = logged.iter().collect();
    let (rows, events) = (logged.len(), plan.events());
    (there.len() != rows || rows != events as usize).then(|| {
        let distinct = there.len();
        format!("{events} rows were acknowledged, the log has {rows}, {distinct} different ones")
    })
}

/// What sockets did not get, or got twice or in another order.
fn faults(inboxes: &[Inbox], expected: &[u32]) -> Vec<String> {
    let mut faults: Vec<String> = inboxes
        .iter()
        .enumerate()
        .filter(|(_, inbox)| inbox.numbers != expected)
        .map(|(socket, inbox)| {
            let got = distinct(inbox);
            let (missing, twice) = (expected.len() - got, inbox.numbers.len() - got);
            let ended = inbox.ended.as_deref().unwrap_or("open to the end");
            if missing + twice == 0 {
                return format!("socket {socket} got the events in another order than the log's");
            }
            format!("socket {socket} misses {missing} events and got {twice} twice ({ended})")
        })
        .collect();
    let more = faults.len().saturating_sub(TOLD);
    faults.truncate(TOLD);
    if more > 0 {
        faults.push(format!("and {more} other sockets"));
    }
    faults
}

fn distinct(inbox: &Inbox) -> usize {
    inbox.numbers.iter().collect::<HashSet<_>>().len()
}

/// Of the sampled sockets, from the time an event was due.
fn latencies(inboxes: &[Inbox], plan: &Plan) -> Vec<Duration> {
    inboxes
        .iter()
        .flat_map(|inbox| inbox.numbers.iter().zip(&inbox.times))
        .map(|(number, at)| at.saturating_duration_since(plan.due(*number)))
        .collect()
}

impl fmt::Display for FanOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = self.resident;
        writeln!(
            f,
            "  {} sockets, {} events/s, {} s: {} of {} frames delivered",
            self.size.sockets, self.size.rate, self.size.seconds, self.delivered, self.wanted
        )?;
        writeln!(
            f,
            "    p50 {:.2} ms   p99 {:.2} ms   generator late p99 {:.2} ms",
            millis(self.load.p50),
            millis(self.load.p99),
            millis(self.late_p99)
        )?;
        write!(
            f,
            "    resident {before:.1} MiB before, {after:.1} MiB after, {:.1} MiB at most   {}",
            self.peak, self.load.cpu
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox(numbers: &[u32]) -> Inbox {
        Inbox {
            numbers: numbers.to_vec(),
            ..Inbox::default()
        }
    }

    #[test]
    fn a_gap_a_repeat_and_another_order_are_faults() {
        let expected = [0, 1, 2];
        assert!(faults(&[inbox(&[0, 1, 2])], &expected).is_empty());
        for (numbers, word) in [
            (&[0, 2][..], "misses 1"),
            (&[0, 1, 1, 2], "got 1 twice"),
            (&[0, 2, 1], "another order"),
            (&[], "misses 3"),
        ] {
            let told = faults(&[inbox(&expected), inbox(numbers)], &expected);
            assert_eq!(told.len(), 1);
            assert!(told[0].starts_with("socket 1 "), "{}", told[0]);
            assert!(told[0].contains(word), "{}", told[0]);
        }
    }

    #[test]
    fn many_faults_are_told_in_few_lines() {
        let inboxes: Vec<Inbox> = (0..10).map(|_| inbox(&[])).collect();
        let told = faults(&inboxes, &[0]);
        assert_eq!(told.len(), TOLD + 1);
        assert_eq!(told[TOLD], "and 7 other sockets");
    }
}
