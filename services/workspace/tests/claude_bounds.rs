//! Nothing that the CLI does is without bounds: its output, its time, its processes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod claude;

use std::sync::Arc;
use std::time::Duration;

use candor_testkit::claude_stand_in::Start;
use candor_testkit::process::is_alive;
use candor_testkit::wait::{wait_for, wait_until};
use candor_workspace::executor::{Executor as _, TurnError};
use candor_workspace::turns::Turns;
use candor_workspace::vitals::Vitals;
use serde_json::Value;

use claude::{LONG, Place, ask, fail, turn};

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_line_a_flood_of_garbage_and_a_noisy_stderr_are_errors_of_a_decent_length() {
    for (behaviour, expected) in [
        (
            "huge-line",
            "the CLI wrote a line of more than 8388608 bytes",
        ),
        (
            "garbage",
            "the CLI wrote what is no JSON: \"PRINTER READY.\"",
        ),
        (
            "noisy-stderr",
            "the CLI ended without a result\nexit status: 1\nstderr: complaint ",
        ),
    ] {
        let place = Place::new(behaviour);
        let error = fail(&place.executor()).await;
        assert!(error.starts_with(expected), "{error}");
        assert!(error.len() < 9 * 1024, "{}", error.len());
        if behaviour == "noisy-stderr" {
            let last = "complaint 19999: the printer has no paper, and nobody looks";
            assert!(error.ends_with(last), "{error}");
        }
        for start in place.starts() {
            assert!(!is_alive(start.pid), "{behaviour}");
        }
    }
}

/// The CLI when it has started its family.
async fn family(place: &Place) -> Start {
    let started = wait_for("two children", LONG, || async {
        place
            .starts()
            .pop()
            .filter(|start| start.children.len() == 2)
    });
    started.await.unwrap()
}

async fn all_gone(start: &Start) -> bool {
    let all = || start.children.iter().chain([&start.pid]);
    wait_until(LONG, || !all().any(|pid| is_alive(*pid))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_turn_leaves_no_process() {
    let place = Place::new("family");
    let executor = Arc::new(place.executor());
    let turns = Turns::new(executor.clone(), Vitals::new(&*executor));
    let (turn, _updates) = turn("hello");
    let cancel = turn.cancel.clone();
    let running = tokio::spawn(async move { turns.run(turn).await });
    let start = family(&place).await;
    assert!(start.children.iter().all(|pid| is_alive(*pid)));
    cancel.cancel();
    assert_eq!(running.await.unwrap(), Err(TurnError::Cancelled));
    assert!(all_gone(&start).await, "{start:?}");
    assert_eq!(
        place.starts().len(),
        1,
        "a cancelled turn is not tried again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_takes_too_long_or_is_dropped_leaves_no_process() {
    let mut place = Place::new("family");
    place.settings.turn_timeout = Duration::from_secs(1);
    let error = fail(&place.executor()).await;
    assert!(
        error.starts_with("the turn did not end in time\n"),
        "{error}"
    );
    assert!(all_gone(&family(&place).await).await);

    let place = Place::new("family");
    let executor = place.executor();
    let running = tokio::spawn(async move { executor.turn(turn("hello").0).await });
    let start = family(&place).await;
    running.abort();
    assert!(all_gone(&start).await, "{start:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_turn_begins_when_the_last_ones_processes_are_gone() {
    let place = Place::new("stubborn");
    let executor = Arc::new(place.executor());
    let (first, _updates) = turn("hello");
    let cancel = first.cancel.clone();
    let ours = Arc::clone(&executor);
    let running = tokio::spawn(async move { ours.turn(first).await });
    let start = family(&place).await;
    place.behave("answer");
    cancel.cancel();
    assert_eq!(running.await.unwrap(), Err(TurnError::Cancelled));
    ask(&executor, "hello").await.unwrap();
    assert!(!is_alive(start.pid), "it was killed, and waited for");
    assert!(all_gone(&start).await, "{start:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transcript_is_the_sessions_alone_and_comes_in_pages() {
    let place = Place::new("answer");
    let executor = place.executor();
    let empty = executor.transcript(0, 100).await.unwrap();
    assert_eq!(
        (&empty["supported"], &empty["lines"]),
        (&true.into(), &Value::Array(vec![]))
    );
    ask(&executor, "one").await.unwrap();
    let whole = executor.transcript(0, 100).await.unwrap();
    let said = |page: &Value, at: usize| page["lines"][at]["message"]["content"].clone();
    assert_eq!(said(&whole, 0), "one");
    assert_eq!(said(&whole, 1), "You said: one");
    assert_eq!(
        (&whole["cursor"], &whole["more"]),
        (&2.into(), &false.into())
    );
    assert_eq!(whole["runtime"], "claude-code");

    // Another one in the same folder, and newer.
    let file = std::path::PathBuf::from(whole["source"].as_str().unwrap());
    let other = file.with_file_name("00000000-0000-4000-8000-other.jsonl");
    std::fs::write(&other, "{\"secret\":1}\n").unwrap();
    ask(&executor, "two").await.unwrap();
    let page = executor.transcript(1, 2).await.unwrap();
    assert_eq!(
        (said(&page, 0), said(&page, 1)),
        ("You said: one".into(), "two".into())
    );
    assert_eq!((&page["cursor"], &page["more"]), (&3.into(), &true.into()));
    let rest = executor.transcript(3, 2).await.unwrap();
    assert_eq!(rest["lines"].as_array().unwrap().len(), 1);
    assert!(
        !executor
            .transcript(0, 1000)
            .await
            .unwrap()
            .to_string()
            .contains("secret")
    );

    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(&other, &file).unwrap();
    let linked = executor.transcript(0, 100).await.unwrap();
    assert_eq!(linked["lines"], Value::Array(vec![]));
}
