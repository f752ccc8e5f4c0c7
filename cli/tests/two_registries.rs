//! Two registries on one database, beats of each workspace through both, and
//! kill -9 of one of them in the middle.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use candor_testkit::agent::FakeAgent;
use candor_testkit::history::{LateEffects, Outcome, check, observe};
use candor_testkit::http::Client;
use candor_testkit::load::Load;
use candor_testkit::platform::Binaries;
use candor_testkit::postgres::{self, Postgres};
use candor_testkit::wait::{wait_for, wait_until};

const CLIENTS: usize = 16;
const AGENTS_EACH: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn beats_through_two_registries_agree_and_survive_the_death_of_one() {
    let postgres = Postgres::start_new().await.unwrap();
    let url = postgres.create_database().await.unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    binaries.migrate(&url).unwrap();
    let one = binaries.registry(&url, &[]).await.unwrap();
    let mut two = binaries.registry(&url, &[]).await.unwrap();
    let left = binaries.gateway(one.grpc(), &[]).await.unwrap();
    let right = binaries.gateway(two.grpc(), &[]).await.unwrap();
    let fleets = FakeAgent::fleets(&mut Client::new(left.http()), CLIENTS, AGENTS_EACH)
        .await
        .unwrap();

    let load = Load::start(fleets, &[left.http(), right.http()], 0);
    let minute = Duration::from_secs(60);
    let both = wait_until(minute, || load.acknowledged() >= 3_000).await;
    let refused_before = load.unavailable();
    two.process().kill9();
    let so_far = load.acknowledged();
    let one_alone = wait_until(minute, || load.acknowledged() >= so_far + 1_000).await;
    let (tally, _) = load.finish().await;

    assert!(both, "too few beats through both: {:?}", tally.wrong);
    assert!(one_alone, "the survivor stopped: {:?}", tally.wrong);
    assert_eq!(refused_before, 0, "503 while both were alive");
    assert_eq!(tally.wrong, [""; 0]);
    wait_for("every event's seq", Duration::from_secs(10), || async {
        let query = "SELECT count(*) FROM structure_events WHERE seq IS NULL";
        (postgres::count(&url, query).await.ok()? == 0).then_some(())
    })
    .await
    .unwrap();
    let observed = observe(&url).await.unwrap();
    let violations = check(&tally.history, &observed, LateEffects::Possible);
    assert!(violations.is_empty(), "{violations:#?}");
    assert!(tally.history.count(Outcome::Acknowledged) >= 4_000);
}
