//! What an agent says by itself, on the real platform: prompts, results of delegations,
//! messages to peers. Never as a person's words, and no result is lost by kill -9.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use candor_testkit::a2a_workspace::created;
use candor_testkit::chat::becomes;
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::{Binaries, DataDir};
use candor_testkit::runtime::{ConfigsDir, Runtime};
use candor_testkit::wait::wait_for;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(40);

fn binaries() -> Binaries {
    Binaries::beside(env!("CARGO_BIN_EXE_candor"))
}

async fn echo(client: &Client, id: &str, configs: &ConfigsDir) -> Runtime {
    let env = [
        ("CANDOR_EXECUTOR", "echo"),
        ("CANDOR_INBOX_INTERVAL", "200ms"),
        ("CANDOR_INBOX_COOLDOWN", "1s"),
    ];
    binaries()
        .workspace(client.addr(), id, configs, &env)
        .await
        .unwrap()
}

async fn activity(client: &Client, id: &str, query: &str) -> Vec<Value> {
    let call = Call::get(format!("/workspaces/{id}/activity?limit=500&{query}"));
    let rows = Client::new(client.addr()).send(call).await.unwrap().json();
    rows.as_array().unwrap().clone()
}

/// The text of a received message.
fn words(row: &Value) -> &str {
    let part = &row["request_body"]["params"]["message"]["parts"][0];
    part["text"].as_str().unwrap_or_default()
}

/// Waits for a message of the workspace to itself whose text has `part` in it.
async fn self_message(client: &Client, id: &str, part: &str) -> Value {
    wait_for(part, SOON, || async {
        let rows = activity(client, id, "type=a2a_receive&source=agent").await;
        rows.into_iter().find(|row| words(row).contains(part))
    })
    .await
    .unwrap()
}

async fn assert_never_a_persons(client: &Client, id: &str) {
    let canvas = activity(client, id, "source=canvas").await;
    assert!(canvas.is_empty(), "{canvas:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_are_the_workspaces_own_words_and_the_first_one_is_sent_once() {
    let data = DataDir::new().unwrap();
    let candor = binaries().up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    let id = created(&mut client, &json!({"name": "prompted"}))
        .await
        .unwrap();
    let configs = ConfigsDir::new().unwrap();
    let config =
        "initial_prompt: begin the day\nidle_prompt: anything new?\nidle_interval_seconds: 1\n";
    configs.write("config.yaml", config).unwrap();
    for _ in 0..2 {
        let _agent = echo(&client, &id, &configs).await;
        for prompt in ["begin the day", "anything new?"] {
            let row = self_message(&client, &id, prompt).await;
            assert_eq!(row["source_id"], id, "{row}");
        }
        let idle = activity(&client, &id, "type=a2a_receive").await;
        let before = idle.len();
        wait_for("one more", SOON, || async {
            let rows = activity(&client, &id, "type=a2a_receive").await;
            (rows.len() > before).then_some(())
        })
        .await
        .unwrap();
    }
    let rows = activity(&client, &id, "type=a2a_receive").await;
    let initial = rows.iter().filter(|row| words(row) == "begin the day");
    assert_eq!(initial.count(), 1, "{rows:?}");
    assert_never_a_persons(&client, &id).await;
}

/// The tools, as a client of MCP has them.
struct Tools {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    next: u64,
}

impl Tools {
    fn start(client: &Client, id: &str, configs: &ConfigsDir) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_candor")).with_file_name("candor-workspace");
        let mut child = Command::new(program)
            .arg("mcp")
            .env("WORKSPACE_ID", id)
            .env("PLATFORM_URL", format!("http://{}", client.addr()))
            .env("CONFIGS_DIR", configs.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut tools = Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
            next: 1,
        };
        let about = json!({"protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"}});
        tools.ask("initialize", &about);
        tools.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        tools
    }

    fn say(&mut self, message: &Value) {
        writeln!(self.input, "{message}").unwrap();
        self.input.flush().unwrap();
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        let id = self.next;
        self.next += 1;
        self.say(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(answer["id"], id, "{answer}");
        answer["result"].clone()
    }

    fn call(&mut self, tool: &str, arguments: &Value) -> String {
        let result = self.ask("tools/call", &json!({"name": tool, "arguments": arguments}));
        assert_ne!(result["isError"], true, "{tool}: {result}");
        result["content"][0]["text"].as_str().unwrap().to_owned()
    }
}

impl Drop for Tools {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tools_work_on_the_real_platform_and_speak_as_the_workspace() {
    let data = DataDir::new().unwrap();
    let candor = binaries().up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    let lead = created(&mut client, &json!({"name": "lead"}))
        .await
        .unwrap();
    let worker = created(&mut client, &json!({"name": "worker", "parent_id": lead}))
        .await
        .unwrap();
    let (lead_configs, worker_configs) = (ConfigsDir::new().unwrap(), ConfigsDir::new().unwrap());
    let _lead = echo(&client, &lead, &lead_configs).await;
    let _worker = echo(&client, &worker, &worker_configs).await;
    becomes(&client, &lead, "online").await.unwrap();
    becomes(&client, &worker, "online").await.unwrap();

    let mut tools = Tools::start(&client, &lead, &lead_configs);
    let listed = tools.ask("tools/list", &json!({}));
    let mut names: Vec<&str> = listed["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    let expected = [
        "check_task_status",
        "delegate_task",
        "delegate_task_async",
        "get_workspace_info",
        "list_peers",
        "send_message_to_user",
    ];
    assert_eq!(names, expected);
    assert!(tools.call("list_peers", &json!({})).contains(&worker));
    assert!(
        tools
            .call("get_workspace_info", &json!({}))
            .contains("lead")
    );
    let order = json!({"workspace_id": worker, "task": "count the ships"});
    assert!(
        tools
            .call("delegate_task", &order)
            .contains("Echo: count the ships")
    );
    let order = json!({"workspace_id": worker, "task": "count the crews"});
    let accepted = tools.call("delegate_task_async", &order);
    wait_for("the result", SOON, || {
        let status = tools.call("check_task_status", &json!({}));
        async move { status.contains("Echo: count the crews").then_some(()) }
    })
    .await
    .unwrap_or_else(|gone| panic!("{gone}: {accepted}"));

    // What a peer asked for is never a person's word, neither there nor here.
    let at_worker = activity(&client, &worker, "type=a2a_receive").await;
    assert!(
        at_worker.iter().all(|row| row["source_id"] == lead),
        "{at_worker:?}"
    );
    assert_never_a_persons(&client, &worker).await;
    self_message(&client, &lead, "check_task_status").await;
    assert_never_a_persons(&client, &lead).await;

    tools.call("send_message_to_user", &json!({"message": "all counted"}));
    let canvas = activity(&client, &lead, "source=canvas").await;
    assert_eq!(canvas.len(), 1, "{canvas:?}");
    assert_eq!(canvas[0]["method"], "notify");
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_no_delegation_result() {
    let data = DataDir::new().unwrap();
    let candor = binaries().up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    let lead = created(&mut client, &json!({"name": "lead"}))
        .await
        .unwrap();
    let worker = created(&mut client, &json!({"name": "worker", "parent_id": lead}))
        .await
        .unwrap();
    let (lead_configs, worker_configs) = (ConfigsDir::new().unwrap(), ConfigsDir::new().unwrap());
    let _worker = echo(&client, &worker, &worker_configs).await;
    becomes(&client, &worker, "online").await.unwrap();
    let mut delegations = Vec::new();
    for round in 0..4 {
        let mut agent = echo(&client, &lead, &lead_configs).await;
        becomes(&client, &lead, "online").await.unwrap();
        let token = wait_for("the token", SOON, || async {
            lead_configs.read(".auth_token")
        });
        let token = token.await.unwrap();
        for n in 0..10 {
            let path = format!("/workspaces/{lead}/delegate");
            let body = json!({"target_id": worker, "task": format!("secret {round} {n}")});
            let call = Call::post(path, &body).bearer(&token);
            let answer = client.send(call).await.unwrap();
            assert_eq!(answer.status, 202, "{}", answer.text());
            let id = answer.json()["delegation_id"].as_str().unwrap().to_owned();
            delegations.push(id);
        }
        // In the middle of whatever it does: asking, writing down, telling.
        agent.process().kill9();
    }
    let _agent = echo(&client, &lead, &lead_configs).await;
    for id in &delegations {
        self_message(&client, &lead, id).await;
    }
    for row in activity(&client, &lead, "type=a2a_receive").await {
        assert!(
            !words(&row).contains("secret"),
            "a result in a user's mouth: {row}"
        );
    }
    assert_never_a_persons(&client, &lead).await;
}
