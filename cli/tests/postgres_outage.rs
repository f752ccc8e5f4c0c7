//! Postgres stopped for ten seconds under load: 503 in time, no wrong answer,
//! recovery by itself, and nobody is offline for it.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use candor_testkit::agent::FakeAgent;
use candor_testkit::history::{LateEffects, check, observe};
use candor_testkit::http::{Call, Client};
use candor_testkit::load::Load;
use candor_testkit::platform::{Binaries, DataDir};
use candor_testkit::postgres::{self, Postgres};
use candor_testkit::wait::{wait_for, wait_until};

const OUTAGE: Duration = Duration::from_secs(10);
/// An open batch is refused after two seconds; the rest is scheduling.
const IN_TIME: Duration = Duration::from_millis(2_500);

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_postgres_is_503_in_time_and_kills_nobody() {
    let mut postgres = Postgres::start_new().await.unwrap();
    let url = postgres.create_database().await.unwrap();
    let data = DataDir::new().unwrap();
    let settings = [
        ("DATABASE_URL", url.as_str()),
        ("CANDOR_LEASE_TTL", "8s"),
        ("CANDOR_LEASE_GRACE", "8s"),
    ];
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &settings).await.unwrap();
    let mut client = Client::new(candor.http());
    let mut fleets = Vec::new();
    for number in 0..16 {
        let name = format!("agent {number}");
        let agent = FakeAgent::enrolled(&mut client, &name).await.unwrap();
        fleets.push(vec![agent]);
    }
    let watched = fleets[0][0].id.clone();

    let load = Load::start(fleets, &[candor.http()], 0);
    let flowing = wait_until(Duration::from_secs(30), || load.acknowledged() >= 500).await;
    postgres.stop().unwrap();
    let stopped = Instant::now();
    let asked = Instant::now();
    let read = client
        .send(Call::get(format!("/workspaces/{watched}")))
        .await;
    let read_took = asked.elapsed();
    let refused = wait_until(OUTAGE, || load.unavailable() > 0).await;
    wait_until(OUTAGE.saturating_sub(stopped.elapsed()), || false).await;
    postgres.start().await.unwrap();
    let before = load.acknowledged();
    let recovered = wait_until(Duration::from_secs(10), || {
        load.acknowledged() > before + 500
    })
    .await;
    let (tally, _) = load.finish().await;

    assert!(
        flowing && refused && recovered,
        "{flowing} {refused} {recovered}"
    );
    assert_eq!(tally.wrong, [""; 0]);
    assert!(
        tally.slowest < IN_TIME,
        "slowest answer {:?}",
        tally.slowest
    );
    assert_eq!(read.unwrap().status, 503);
    assert!(read_took < IN_TIME, "a read took {read_took:?}");
    let dead = "SELECT count(*) FROM structure_events WHERE event_type = 'WORKSPACE_OFFLINE'";
    assert_eq!(postgres::count(&url, dead).await.unwrap(), 0);
    let alive = "SELECT count(*) FROM workspaces WHERE status IN ('online', 'degraded')";
    assert_eq!(postgres::count(&url, alive).await.unwrap(), 16);
    wait_for("every event's seq", Duration::from_secs(10), || async {
        let query = "SELECT count(*) FROM structure_events WHERE seq IS NULL";
        (postgres::count(&url, query).await.ok()? == 0).then_some(())
    })
    .await
    .unwrap();
    let observed = observe(&url).await.unwrap();
    let violations = check(&tally.history, &observed, LateEffects::Possible);
    assert!(violations.is_empty(), "{violations:#?}");
}
