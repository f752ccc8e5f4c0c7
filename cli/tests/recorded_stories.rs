//! What the original answered, asked again: every line agrees, deviates as
//! expected, or waits for the step that brings its route.
#![allow(clippy::unwrap_used)]

use candor_testkit::platform::{Binaries, DataDir};
use candor_testkit::replay::pending::PENDING;
use candor_testkit::replay::{Expectations, Replay, original};

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_line_agrees_or_deviates_as_expected() {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &[]).await.unwrap();
    let lines = original().unwrap();
    let expectations = Expectations::load().unwrap();
    let deviating = expectations.iter().count();
    let asked = lines.iter().filter(|line| line.exchange.is_some()).count();

    let database = candor.database_url();
    let replay = Replay::new(candor.http(), &database, expectations);
    let report = replay.await.unwrap().run(&lines).await.unwrap();

    assert!(
        report.differences.is_empty(),
        "{} differences, {} agree, {} deviate as expected:\n{}",
        report.differences.len(),
        report.agreed,
        report.deviated,
        report.differences.join("\n")
    );
    assert_eq!(report.pending, PENDING.len());
    assert_eq!(report.deviated, deviating);
    assert_eq!(report.agreed, asked - deviating - PENDING.len());
}
