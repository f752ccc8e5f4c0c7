//! A real agent process on the real platform, whose Claude CLI never answers
//! `initialize`: degraded within one beat, calls fail at once, a new process heals it.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use candor_testkit::a2a_workspace::created;
use candor_testkit::chat::{becomes, chat};
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::{Binaries, DataDir};
use candor_testkit::runtime::{ConfigsDir, Runtime};
use candor_testkit::wait::wait_for;
use serde_json::json;

const SOON: Duration = Duration::from_secs(20);
const REASON: &str = "Control request timeout: initialize";

fn binaries() -> Binaries {
    Binaries::beside(env!("CARGO_BIN_EXE_candor"))
}

async fn agent(client: &Client, id: &str, configs: &ConfigsDir, cli: &str) -> Runtime {
    let stand_in =
        std::path::Path::new(env!("CARGO_BIN_EXE_candor")).with_file_name("claude-stand-in");
    let env = [
        ("CANDOR_EXECUTOR", "claude-code"),
        ("CANDOR_CLAUDE_BIN", stand_in.to_str().unwrap()),
        ("CANDOR_CLAUDE_INIT_TIMEOUT", "500ms"),
        ("CLAUDE_STAND_IN", cli),
    ];
    binaries()
        .workspace(client.addr(), id, configs, &env)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wedged_cli_is_degraded_within_one_beat_and_healed_by_a_new_process() {
    let data = DataDir::new().unwrap();
    let candor = binaries().up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    let id = created(&mut client, &json!({"name": "stuck"}))
        .await
        .unwrap();
    let configs = ConfigsDir::new().unwrap();
    let mut wedged = agent(&client, &id, &configs, "never-initialize").await;
    becomes(&client, &id, "online").await.unwrap();

    // The beat that says so is not waited for: with the default lease the next one
    // would be half a minute away.
    let first = chat(&mut client, &id, "hello").await.unwrap();
    assert!(first.text().contains(REASON), "{}", first.text());
    let asked = Instant::now();
    let shown = becomes(&client, &id, "degraded").await.unwrap();
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
    let error = shown["last_sample_error"].as_str().unwrap();
    assert!(error.starts_with(REASON), "{error}");

    // The platform answers for it at once; so does the agent itself.
    let asked = Instant::now();
    let second = chat(&mut client, &id, "are you there?").await.unwrap();
    assert_eq!(second.status, 503, "{}", second.text());
    assert!(second.text().contains(REASON), "{}", second.text());
    let mut door = Client::new(wedged.address());
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": {"message":
        {"role": "user", "messageId": "m", "parts": [{"kind": "text", "text": "hello"}]}}});
    let direct = door.send(Call::post("/", &body)).await.unwrap();
    assert!(direct.text().contains(REASON), "{}", direct.text());
    let health = door.send(Call::get("/healthz")).await.unwrap();
    assert_eq!(health.status, 503);
    assert!(
        asked.elapsed() < Duration::from_secs(3),
        "{:?}",
        asked.elapsed()
    );

    assert_eq!(wedged.process().stop(SOON).and_then(|s| s.code()), Some(0));
    let _healed = agent(&client, &id, &configs, "answer").await;
    becomes(&client, &id, "online").await.unwrap();
    let answer = chat(&mut client, &id, "hello again").await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = &answer.json()["result"]["parts"][0]["text"];
    assert_eq!(text, "You said: hello again");
    let events = client
        .send(Call::get(format!("/events/{id}")))
        .await
        .unwrap();
    let events = events.json();
    let mut types: Vec<&str> = events
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|event| event["event_type"].as_str())
        .filter(|event| ["WORKSPACE_ONLINE", "WORKSPACE_DEGRADED"].contains(event))
        .collect();
    types.reverse();
    assert_eq!(
        types,
        ["WORKSPACE_ONLINE", "WORKSPACE_DEGRADED", "WORKSPACE_ONLINE"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_agent_does_is_told_while_it_does_it() {
    let data = DataDir::new().unwrap();
    let candor = binaries().up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    let id = created(&mut client, &json!({"name": "busy"}))
        .await
        .unwrap();
    let configs = ConfigsDir::new().unwrap();
    let _agent = agent(&client, &id, &configs, "answer").await;
    becomes(&client, &id, "online").await.unwrap();
    let answer = chat(&mut client, &id, "use a tool").await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let address = client.addr();
    let rows = wait_for("the tool in the log", SOON, || async {
        let path = format!("/workspaces/{id}/activity?type=agent_log");
        let rows = Client::new(address).send(Call::get(path)).await.unwrap();
        let rows = rows.json();
        (!rows.as_array().unwrap().is_empty()).then_some(rows)
    })
    .await
    .unwrap();
    assert_eq!(rows[0]["source_id"], id, "{rows}");
    assert!(
        rows[0]["summary"].as_str().unwrap().contains("Bash"),
        "{rows}"
    );
    let used = client
        .send(Call::get(format!(
            "/workspaces/{id}/activity?type=a2a_receive"
        )))
        .await
        .unwrap()
        .json();
    assert_eq!(used[0]["tool_trace"][0]["tool"], "Bash", "{used}");
}
