//! The recorded traffic of a real legacy runtime against `candor up`.
#![allow(clippy::unwrap_used)]

use candor_testkit::legacy;
use candor_testkit::platform::{Binaries, DataDir};

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_legacy_runtime_is_served_as_the_contract_says() {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &[]).await.unwrap();
    let lines = legacy::python_runtime().unwrap();
    let differences = legacy::replay(candor.http(), &lines).await.unwrap();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
