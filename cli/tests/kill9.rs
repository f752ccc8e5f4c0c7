//! kill -9 of the platform in the middle of many beats: nothing acknowledged is
//! lost, and no event is there twice.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use candor_testkit::agent::FakeAgent;
use candor_testkit::history::{History, LateEffects, Outcome, check, observe};
use candor_testkit::http::Client;
use candor_testkit::load::Load;
use candor_testkit::platform::{Binaries, DataDir};
use candor_testkit::postgres;
use candor_testkit::wait::{wait_for, wait_until};

const CLIENTS: usize = 64;
const AGENTS_EACH: usize = 4;
const ROUNDS: u64 = 3;
/// Acknowledged in each round before the kill; one beat in five changes a status.
const BEATS: u64 = 4_000;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9_and_no_event_is_twice() {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let mut history = History::default();
    let mut fleets = Vec::new();
    for round in 0..ROUNDS {
        let mut candor = binaries.up(&data, &[]).await.unwrap();
        if fleets.is_empty() {
            fleets = FakeAgent::fleets(&mut Client::new(candor.http()), CLIENTS, AGENTS_EACH)
                .await
                .unwrap();
        }
        let load = Load::start(fleets, &[candor.http()], round * 1_000_000);
        let busy = wait_until(Duration::from_secs(60), || load.acknowledged() >= BEATS).await;
        candor.process().kill9();
        let (tally, drivers) = load.finish().await;
        assert!(busy, "too few beats: {:?}", tally.wrong);
        assert_eq!(tally.wrong, [""; 0], "round {round}");
        history.merge(tally.history);
        fleets = drivers;
    }

    let mut candor = binaries.up(&data, &[]).await.unwrap();
    let url = candor.database_url();
    all_drawn(&url).await;
    let observed = observe(&url).await.unwrap();
    let violations = check(&history, &observed, LateEffects::Impossible);
    assert!(violations.is_empty(), "{violations:#?}");
    assert!(history.count(Outcome::Acknowledged) >= (BEATS * ROUNDS) as usize);

    let status = candor.process().stop(Duration::from_secs(15));
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
    assert!(
        data.is_quiet(Duration::from_secs(10)).await,
        "Postgres still runs"
    );
}

/// Every event got its place in the log.
async fn all_drawn(url: &str) {
    wait_for("every event's seq", Duration::from_secs(10), || async {
        let query = "SELECT count(*) FROM structure_events WHERE seq IS NULL";
        (postgres::count(url, query).await.ok()? == 0).then_some(())
    })
    .await
    .unwrap();
}
