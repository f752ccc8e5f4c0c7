//! Turns of the executor `claude-code`: answers, sessions, leave, other attempts.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod claude;

use candor_workspace::executor::claude::PermissionMode;
use candor_workspace::executor::{Executor as _, Update};
use serde_json::json;

use claude::{Place, ask, fail, told, turn};

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_is_told_while_it_runs_and_accounted_for_at_its_end() {
    let mut place = Place::new("answer");
    place.settings.model = Some("opus".to_owned());
    place.settings.system_prompt = Some("- be brief".to_owned());
    place.settings.mcp_config = Some("/configs/mcp.json".to_owned());
    let (turn, mut updates) = turn("hello\nworld");
    let answer = place.executor().turn(turn).await.unwrap();
    assert_eq!(answer.text, "You said: hello\nworld");
    assert_eq!(
        serde_json::Value::Object(answer.metadata),
        json!({
            "usage": {"input_tokens": 12, "output_tokens": 7},
            "tool_trace": [{
                "tool": "Bash",
                "input": r#"{"command":"echo hello","description":"Say hello"}"#,
            }],
        })
    );
    let tool = Update::Tool {
        name: "Bash".to_owned(),
        summary: "Say hello".to_owned(),
    };
    let text = Update::Text("You said: hello\nworld".to_owned());
    assert_eq!(told(&mut updates), [tool, text]);
    let start = place.starts().pop().unwrap();
    for (option, value) in [
        ("--output-format", "stream-json"),
        ("--input-format", "stream-json"),
        ("--permission-mode", "default"),
        ("--permission-prompt-tool", "stdio"),
        ("--model", "opus"),
        ("--append-system-prompt", "- be brief"),
        ("--mcp-config", "/configs/mcp.json"),
    ] {
        assert_eq!(start.option(option), Some(value), "{option}");
    }
    assert_eq!(start.option("--resume"), None);
    assert_eq!(start.told[1]["message"]["content"], "hello\nworld");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_also_in_a_new_process_and_is_forgotten_with_the_cli() {
    let place = Place::new("answer");
    let executor = place.executor();
    ask(&executor, "one").await.unwrap();
    let session = std::fs::read_to_string(&place.settings.session_file).unwrap();
    ask(&executor, "two").await.unwrap();
    ask(&place.executor(), "three").await.unwrap();
    let starts = place.starts();
    assert_eq!(starts.len(), 3);
    for start in &starts[1..] {
        assert_eq!(start.option("--resume"), Some(&*session));
        assert_eq!(start.told[1]["session_id"], *session);
    }

    place.behave("unknown-session");
    let answer = ask(&executor, "four").await.unwrap();
    assert_eq!(answer.text, "You said: four");
    let starts = place.starts();
    assert_eq!(starts.len(), 5);
    assert_eq!(starts[3].option("--resume"), Some(&*session));
    assert_eq!(starts[4].option("--resume"), None);
    let new = std::fs::read_to_string(&place.settings.session_file).unwrap();
    assert_ne!(new, session);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_the_cli_asks_is_answered() {
    for (mode, behavior) in [
        (PermissionMode::Default, "deny"),
        (PermissionMode::BypassPermissions, "allow"),
    ] {
        let mut place = Place::new("asks-permission");
        place.settings.permission_mode = mode;
        let answer = ask(&place.executor(), "hello").await.unwrap();
        let expected = json!([behavior, "error", "error"]);
        assert_eq!(answer.text, format!("You said: {expected}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cli_that_writes_before_it_reads_is_heard() {
    let mut place = Place::new("asks-at-length");
    place.settings.permission_mode = PermissionMode::BypassPermissions;
    place.settings.turn_timeout = std::time::Duration::from_secs(20);
    let answer = ask(&place.executor(), "hello").await.unwrap();
    assert_eq!(answer.text, "You said: at length");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_tried_again_and_told() {
    let place = Place::new("rate-limited-once");
    let (turn, mut updates) = turn("hello");
    let answer = place.executor().turn(turn).await.unwrap();
    assert_eq!(answer.text, "You said: hello");
    let starts = place.starts();
    assert_eq!(starts.len(), 2);
    assert_eq!(starts[1].option("--resume"), None, "nothing was said in it");
    let updates = told(&mut updates);
    let Some(Update::Tool { name, summary }) = updates.first() else {
        panic!("{updates:?}");
    };
    assert_eq!(name, "api_retry");
    assert!(summary.contains("rate_limit"), "{summary}");
    let errors = updates.iter().filter(|update| match update {
        Update::Text(text) => text.contains("API Error"),
        Update::Tool { .. } => false,
    });
    assert_eq!(errors.count(), 0, "an error is no word of the agent's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_is_tried_three_times_at_most_and_once_when_something_was_done() {
    for (behaviour, starts) in [
        ("rate-limited", 3),
        ("exit-early", 3),
        ("rate-limited-after-tool", 1),
        ("bad-request", 1),
        ("refuse-initialize", 1),
    ] {
        let place = Place::new(behaviour);
        let error = fail(&place.executor()).await;
        assert_eq!(place.starts().len(), starts, "{behaviour}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cli_that_is_not_there_is_named() {
    let mut place = Place::new("answer");
    place.settings.bin = "/no/such/claude".to_owned();
    let error = fail(&place.executor()).await;
    assert!(
        error.starts_with("/no/such/claude: cannot be started: "),
        "{error}"
    );
}
