//! `candor migrate up`, `down` and `status`, as an operator runs them.
#![allow(clippy::unwrap_used)]

use candor_testkit::platform::Binaries;
use candor_testkit::postgres::{self, Postgres};

fn run(binaries: &Binaries, url: &str, args: &[&str]) -> (bool, String) {
    let mut command = binaries.command("candor");
    command.arg("migrate").args(args).env("DATABASE_URL", url);
    let output = command.output().unwrap();
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    let trouble = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), words + &trouble)
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_go_up_and_down_and_tell_where_they_are() {
    let postgres = Postgres::start_new().await.unwrap();
    let url = postgres.create_database().await.unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let (done, words) = run(&binaries, &url, &["up"]);
    assert!(done && words.contains("5 migration(s) applied"), "{words}");
    let (done, words) = run(&binaries, &url, &["up"]);
    assert!(done && words.contains("0 migration(s) applied"), "{words}");
    let (done, words) = run(&binaries, &url, &["status"]);
    assert!(done && words.contains("workspace status enum"), "{words}");
    postgres::execute(
        &url,
        "INSERT INTO workspaces (name, status) VALUES ('row', 'degraded')",
    )
    .await
    .unwrap();

    let (done, words) = run(&binaries, &url, &["down", "--to", "1"]);
    assert!(done && words.contains("4 migration(s) reverted"), "{words}");
    let kept = "SELECT status || ' ' || pg_typeof(status)::text FROM workspaces";
    assert_eq!(postgres::text(&url, kept).await.unwrap(), "degraded text");
    let strange = "UPDATE workspaces SET status = 'half-alive'";
    postgres::execute(&url, strange).await.unwrap();
    let (done, words) = run(&binaries, &url, &["up"]);
    assert!(!done && words.contains("half-alive"), "{words}");
    assert_eq!(postgres::text(&url, kept).await.unwrap(), "half-alive text");
    postgres::execute(&url, "UPDATE workspaces SET status = 'degraded'")
        .await
        .unwrap();
    let (done, words) = run(&binaries, &url, &["up"]);
    assert!(done, "{words}");
    let kept = "SELECT status::text || ' ' || pg_typeof(status)::text FROM workspaces";
    assert_eq!(
        postgres::text(&url, kept).await.unwrap(),
        "degraded workspace_status"
    );
}
