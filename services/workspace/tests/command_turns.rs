//! The executor `command` with real programs.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;

use candor_testkit::process::is_alive;
use candor_testkit::wait::{wait_for, wait_until};
use candor_workspace::executor::command::{CommandLine, CommandSettings};
use candor_workspace::executor::{Executor as _, Prompt, Turn, TurnError, Update, Updates};
use candor_workspace::turns::Turns;
use candor_workspace::vitals::Vitals;
use tempfile::TempDir;
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

const LONG: Duration = Duration::from_secs(30);

fn settings(folder: &TempDir, program: &[&str]) -> CommandSettings {
    CommandSettings {
        program: program.iter().map(|&word| word.to_owned()).collect(),
        timeout: LONG,
        working_dir: folder.path().to_owned(),
        parallel: 2,
        env: vec![("GREETING".to_owned(), "hello".to_owned())],
    }
}

fn turn(text: &str) -> (Turn, Receiver<Update>) {
    let (updates, told) = Updates::channel();
    let turn = Turn {
        prompt: Prompt {
            text: text.to_owned(),
            context_id: "the-context".to_owned(),
            task_id: "the-task".to_owned(),
        },
        updates,
        cancel: CancellationToken::new(),
    };
    (turn, told)
}

/// One turn of a program: its answer, or its error.
async fn run(settings: CommandSettings, prompt: &str) -> Result<String, String> {
    match CommandLine::new(settings).turn(turn(prompt).0).await {
        Ok(answer) => Ok(answer.text),
        Err(TurnError::Failed(error)) => Err(error),
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_prompt_goes_in_and_the_answer_comes_out_in_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let script = "cat; printf ' %s %s %s' $GREETING $CANDOR_CONTEXT_ID $CANDOR_TASK_ID; pwd";
    let executor = CommandLine::new(settings(&folder, &["sh", "-c", script]));
    let (turn, mut updates) = turn("Grüße");
    let answer = executor.turn(turn).await.unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let expected = format!("Grüße hello the-context the-task{}", folder.display());
    assert_eq!(answer.text, expected);
    let mut told = String::new();
    while let Ok(Update::Text(text)) = updates.try_recv() {
        told.push_str(&text);
    }
    assert_eq!(told, format!("{expected}\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_prompt_and_a_program_that_does_not_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let prompt = "x".repeat(900_000);
    let echoed = run(settings(&folder, &["cat"]), &prompt).await;
    assert_eq!(echoed.as_deref(), Ok(&*prompt));
    let deaf = run(
        settings(&folder, &["echo", "no; time", "$GREETING"]),
        &prompt,
    )
    .await;
    assert_eq!(
        deaf.as_deref(),
        Ok("no; time $GREETING"),
        "no shell reads it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_says_how_and_with_which_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let script = "echo half; echo 'no paper' >&2; exit 7";
    let failed = run(settings(&folder, &["sh", "-c", script]), "").await;
    assert_eq!(
        failed.unwrap_err(),
        "the program failed\nexit status: 7\nstderr: no paper"
    );
    let noisy = "yes complaint | head -c 1000000 >&2; exit 1";
    let failed = run(settings(&folder, &["sh", "-c", noisy]), "").await;
    assert!(failed.unwrap_err().len() < 9 * 1024);
    let missing = run(settings(&folder, &["/no/such/program"]), "").await;
    let error = missing.unwrap_err();
    assert!(
        error.starts_with("/no/such/program: cannot be started: "),
        "{error}"
    );
    let long = run(settings(&folder, &["yes"]), "").await.unwrap_err();
    assert!(
        long.starts_with("an answer of more than 1048576 bytes\n"),
        "{long}"
    );
    assert!(run(settings(&folder, &[]), "").await.is_err());
}

/// A number that a program wrote.
async fn number(folder: &TempDir, file: &str) -> i32 {
    let path = folder.path().join(file);
    let written = wait_for("a number", LONG, || async {
        let text = std::fs::read_to_string(&path).ok()?;
        text.strip_suffix('\n')?.parse().ok()
    });
    written.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_does_not_end_is_killed_with_what_it_started() {
    let folder = tempfile::tempdir().unwrap();
    // One that ignores the request to end, and whose child does as well.
    let script = "trap '' TERM; sleep 600 & echo $! > child; echo $$ > self; wait; wait";
    let mut limited = settings(&folder, &["sh", "-c", script]);
    limited.timeout = Duration::from_millis(500);
    let error = run(limited, "").await.unwrap_err();
    assert!(error.starts_with("no answer within 500ms\n"), "{error}");
    for file in ["child", "self"] {
        let pid = number(&folder, file).await;
        assert!(wait_until(LONG, || !is_alive(pid)).await, "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_turn_leaves_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let script = "sleep 600 & echo $! > child; echo $$ > self; wait";
    let executor = Arc::new(CommandLine::new(settings(&folder, &["sh", "-c", script])));
    let turns = Turns::new(executor.clone(), Vitals::new(&*executor));
    let (turn, _updates) = turn("");
    let cancel = turn.cancel.clone();
    let running = tokio::spawn(async move { turns.run(turn).await });
    let pids = [
        number(&folder, "child").await,
        number(&folder, "self").await,
    ];
    cancel.cancel();
    assert_eq!(running.await.unwrap(), Err(TurnError::Cancelled));
    assert!(wait_until(LONG, || !pids.iter().any(|pid| is_alive(*pid))).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_turn_waits_for_a_program_that_is_slow_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let script = "trap '' TERM; echo $$ > self; sleep 600; wait";
    let mut alone = settings(&folder, &["sh", "-c", script]);
    alone.parallel = 1;
    let executor = Arc::new(CommandLine::new(alone));
    let turns = Turns::new(executor.clone(), Vitals::new(&*executor));
    let (first, _updates) = turn("");
    let cancel = first.cancel.clone();
    let running = {
        let turns = turns.clone();
        tokio::spawn(async move { turns.run(first).await })
    };
    let pid = number(&folder, "self").await;
    cancel.cancel();
    assert_eq!(running.await.unwrap(), Err(TurnError::Cancelled));
    assert!(is_alive(pid), "it does not hear that it should end");
    std::fs::remove_file(folder.path().join("self")).unwrap();
    let (second, _updates) = turn("");
    let cancel = second.cancel.clone();
    let running = tokio::spawn(async move { turns.run(second).await });
    let next = number(&folder, "self").await;
    assert!(!is_alive(pid), "one at a time");
    assert_ne!(next, pid);
    cancel.cancel();
    assert_eq!(running.await.unwrap(), Err(TurnError::Cancelled));
    assert!(wait_until(LONG, || !is_alive(next)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_inherits_the_pipe_does_not_hold_up_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let script = "echo done; sleep 600 & echo $! > child";
    let answer = run(settings(&folder, &["sh", "-c", script]), "").await;
    assert_eq!(answer.as_deref(), Ok("done"));
    let pid = number(&folder, "child").await;
    assert!(wait_until(LONG, || !is_alive(pid)).await);
}
