//! `candor-workspace mcp` as a client starts it: its calls prove who makes them.
#![allow(clippy::unwrap_used)]

mod support;

use std::process::Stdio;
use std::time::Duration;

use candor_testkit::fake_platform::Scripted;
use serde_json::{Value, json};
use support::{TOKEN, WORKSPACE, World};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn each_call_has_the_token_the_workspace_and_a_trace() {
    let world = World::start().await;
    let peers = format!("/registry/{WORKSPACE}/peers");
    world.fake.answer("GET", &peers, Scripted::ok(json!([])));
    let mut child = Command::new(env!("CARGO_BIN_EXE_candor-workspace"))
        .arg("mcp")
        .env_clear()
        .env("WORKSPACE_ID", WORKSPACE)
        .env("PLATFORM_URL", world.fake.url())
        .env("CONFIGS_DIR", world.configs.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let about = json!({"protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"}});
    for message in [
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": about}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call",
            "params": {"name": "list_peers", "arguments": {}}}),
    ] {
        input
            .write_all(format!("{message}\n").as_bytes())
            .await
            .unwrap();
    }
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let answered = async {
        loop {
            let line = lines.next_line().await.unwrap().unwrap();
            // Nothing but the protocol is written there.
            let message: Value = serde_json::from_str(&line).unwrap();
            if message["id"] == 2 {
                return message;
            }
        }
    };
    let answer = tokio::time::timeout(SOON, answered).await.unwrap();
    assert_eq!(answer["result"]["isError"], false, "{answer}");
    let unproven = world.fake.unproven(WORKSPACE, TOKEN);
    assert!(unproven.is_empty(), "{unproven:#?}");
    drop(input);
    let done = tokio::time::timeout(SOON, child.wait_with_output());
    let done = done.await.unwrap().unwrap();
    let log = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success() && log.is_empty(), "{log}");
}
