//! A CLI that never answers `initialize`: the error, the wedge, what comes after.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod claude;

use std::sync::Arc;
use std::time::{Duration, Instant};

use candor_testkit::process::is_alive;
use candor_workspace::executor::TurnError;
use candor_workspace::turns::Turns;
use candor_workspace::vitals::Vitals;

use claude::{Place, fail, turn};

const WEDGED: &str = "Control request timeout: initialize";

#[tokio::test(flavor = "multi_thread")]
async fn a_cli_that_never_initializes_wedges_the_agent_and_the_next_turn_fails_at_once() {
    let mut place = Place::new("never-initialize");
    place.settings.init_timeout = Duration::from_millis(300);
    let executor = Arc::new(place.executor());
    let vitals = Vitals::new(&*executor);
    let turns = Turns::new(executor, Arc::clone(&vitals));
    let begun = Instant::now();
    let outcome = turns.run(turn("hello").0).await;
    let Err(TurnError::Failed(error)) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(error.starts_with(&format!("{WEDGED}\n")), "{error}");
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "by its own limit"
    );
    assert!(vitals.is_wedged());
    let report = vitals.report();
    assert_eq!(report.runtime_state, "wedged");
    assert!(report.sample_error.starts_with(WEDGED), "{report:?}");
    let starts = place.starts();
    assert_eq!(starts.len(), 1, "never tried again: {starts:?}");
    assert_eq!(starts[0].told[0]["request"]["subtype"], "initialize");
    assert_eq!(starts[0].told.len(), 1, "the prompt was never sent");
    assert!(!is_alive(starts[0].pid));

    place.behave("answer");
    let outcome = turns.run(turn("hello").0).await;
    let Err(TurnError::Wedged(reason)) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(reason.starts_with(WEDGED), "{reason}");
    assert_eq!(place.starts().len(), 1, "nothing was started for it");

    // A new process of the runtime's begins without it.
    let executor = Arc::new(place.executor());
    let vitals = Vitals::new(&*executor);
    let turns = Turns::new(executor, Arc::clone(&vitals));
    turns.run(turn("hello").0).await.unwrap();
    assert!(!vitals.is_wedged());
}

#[tokio::test(flavor = "multi_thread")]
async fn other_failures_do_not_wedge() {
    for (behaviour, expected) in [
        ("never-answer", "the turn did not end in time"),
        // It had less time than `initialize` may take: nothing is proved.
        ("never-initialize", "the turn did not end in time"),
        ("exit-early", "the CLI ended without a result"),
        ("bad-request", "API Error: Request rejected (400)"),
        (
            "refuse-initialize",
            "initialize was refused: not in this mood",
        ),
    ] {
        let mut place = Place::new(behaviour);
        if behaviour.starts_with("never-") {
            place.settings.turn_timeout = Duration::from_millis(500);
        }
        let executor = Arc::new(place.executor());
        let vitals = Vitals::new(&*executor);
        let turns = Turns::new(executor, Arc::clone(&vitals));
        let outcome = turns.run(turn("hello").0).await;
        let Err(TurnError::Failed(error)) = outcome else {
            panic!("{outcome:?}");
        };
        assert!(error.starts_with(expected), "{error}");
        assert!(!vitals.is_wedged(), "{error}");
    }
    let place = Place::new("exit-early");
    let error = fail(&place.executor()).await;
    assert_eq!(
        error,
        "the CLI ended without a result\nexit status: 3\n\
         stderr: claude-stand-in: this machine is on fire"
    );
}
