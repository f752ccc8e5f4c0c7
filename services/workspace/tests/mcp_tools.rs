//! The MCP server, spoken to in raw lines of JSON-RPC.
#![allow(clippy::unwrap_used)]

mod support;

use candor_testkit::fake_platform::Scripted;
use candor_workspace::mcp::{McpError, serve};
use serde_json::{Value, json};
use support::{PEER, TOKEN, WORKSPACE, World, answered, own, text};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines};
use tokio::task::JoinHandle;

/// Bytes between the two sides.
const PIPE: usize = 1024 * 1024;

struct Mcp {
    world: World,
    input: DuplexStream,
    output: Lines<BufReader<DuplexStream>>,
    server: JoinHandle<Result<(), McpError>>,
    next: u64,
}

impl Mcp {
    async fn start() -> Self {
        let world = World::start().await;
        let (input, of_server) = tokio::io::duplex(PIPE);
        let (to_client, output) = tokio::io::duplex(PIPE);
        let server = tokio::spawn(serve(world.platform.clone(), of_server, to_client));
        let output = BufReader::new(output).lines();
        let mut mcp = Self {
            world,
            input,
            output,
            server,
            next: 0,
        };
        let hello = json!({
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        });
        let welcome = mcp.request("initialize", hello).await;
        assert_eq!(welcome["result"]["serverInfo"]["name"], "candor-workspace");
        assert!(welcome["result"]["capabilities"]["tools"].is_object());
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        mcp.write(&ready).await;
        mcp
    }

    async fn write(&mut self, line: &Value) {
        let line = format!("{line}\n");
        self.input.write_all(line.as_bytes()).await.unwrap();
    }

    async fn request(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let id = self.next;
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.write(&request).await;
        let line = self.output.next_line().await.unwrap().unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    /// Calls a tool; its text, or its error.
    async fn call(&mut self, tool: &str, arguments: Value) -> Result<String, String> {
        let params = json!({"name": tool, "arguments": arguments});
        let answer = self.request("tools/call", params).await;
        let result = &answer["result"];
        let text = result["content"][0]["text"].as_str();
        let text = text
            .unwrap_or_else(|| panic!("no text: {answer}"))
            .to_owned();
        match result["isError"] == true {
            true => Err(text),
            false => Ok(text),
        }
    }

    fn peer_answers(&self, answer: Scripted) {
        self.world
            .fake
            .answer("POST", &format!("/workspaces/{PEER}/a2a"), answer);
    }
}

#[tokio::test]
async fn the_tools_are_listed_with_their_arguments() {
    let mut mcp = Mcp::start().await;
    let answer = mcp.request("tools/list", json!({})).await;
    let tools = answer["result"]["tools"].as_array().unwrap();
    let mut listed: Vec<String> = tools
        .iter()
        .map(|tool| {
            let schema = &tool["inputSchema"];
            let names = schema["properties"].as_object().into_iter().flatten();
            let names: Vec<&str> = names.map(|(name, _)| name.as_str()).collect();
            assert!(!tool["description"].as_str().unwrap().is_empty());
            format!("{} {}", tool["name"].as_str().unwrap(), names.join(" "))
        })
        .collect();
    listed.sort();
    assert_eq!(
        listed,
        [
            "check_task_status task_id",
            "delegate_task task workspace_id",
            "delegate_task_async task workspace_id",
            "get_workspace_info ",
            "list_peers query",
            "send_message_to_user message",
        ]
    );
}

#[tokio::test]
async fn a_task_is_given_to_a_peer_and_its_answer_comes_back() {
    let mut mcp = Mcp::start().await;
    mcp.peer_answers(answered("42"));
    let arguments = json!({"workspace_id": PEER, "task": "what is it?"});
    let answer = mcp.call("delegate_task", arguments.clone()).await;
    assert_eq!(answer, Ok("42".to_owned()));
    mcp.call("delegate_task", arguments).await.unwrap();
    let path = format!("/workspaces/{PEER}/a2a");
    let sent = mcp
        .world
        .fake
        .wait_for_requests("POST", &path, 2)
        .await
        .unwrap();
    assert_eq!(text(&sent[0]), "what is it?");
    assert_ne!(support::message_id(&sent[0]), support::message_id(&sent[1]));
    mcp.world.assert_proven();
}

#[tokio::test]
async fn every_other_outcome_of_a_task_is_said_with_what_to_do() {
    let mut mcp = Mcp::start().await;
    let arguments = json!({"workspace_id": PEER, "task": "x"});
    let wedged = json!({"error": "workspace agent is wedged: Control request timeout: initialize",
                        "runtime_state": "wedged", "status": "degraded"});
    let refusals = [
        (
            403,
            json!({"error": "access denied: workspaces cannot communicate"}),
            "list_peers",
        ),
        (
            402,
            json!({"error": "workspace budget limit exceeded"}),
            "another peer",
        ),
        (404, json!({"error": "workspace not found"}), "list_peers"),
        (401, json!({"error": "invalid caller auth token"}), "token"),
        (503, wedged, "until somebody restarts it"),
        (
            503,
            json!({"error": "busy", "delivery_unknown": true}),
            "do not send it again",
        ),
        (
            502,
            json!({"error": "failed to reach workspace agent"}),
            "delegate_task_async",
        ),
        (
            200,
            json!({"error": {"code": -32000, "message": "no model"}}),
            "no model",
        ),
    ];
    for (status, body, fix) in refusals {
        let words = body["error"].as_str().map(ToOwned::to_owned);
        mcp.peer_answers(Scripted::json(status, body));
        let error = mcp
            .call("delegate_task", arguments.clone())
            .await
            .unwrap_err();
        assert!(error.contains(fix), "{error}");
        assert!(words.is_none_or(|words| error.contains(&words)), "{error}");
    }
    let queued = json!({"queued": true, "queue_id": "q-7", "queue_depth": 1});
    mcp.peer_answers(Scripted::json(202, queued));
    let answer = mcp.call("delegate_task", arguments).await.unwrap();
    assert!(
        answer.contains("busy") && answer.contains("q-7"),
        "{answer}"
    );
    let before = mcp.world.fake.requests().len();
    for (peer, task) in [("peer name", "x"), (WORKSPACE, "x"), (PEER, " ")] {
        for tool in ["delegate_task", "delegate_task_async"] {
            let arguments = json!({"workspace_id": peer, "task": task});
            let error = mcp.call(tool, arguments).await.unwrap_err();
            assert!(error.contains("What to do"), "{error}");
        }
    }
    assert_eq!(mcp.world.fake.requests().len(), before, "nothing was sent");
}

#[tokio::test]
async fn a_delegation_begins_once_and_both_of_its_answers_are_good() {
    let mut mcp = Mcp::start().await;
    let made = json!({"delegation_id": "d-1", "status": "delegated", "target_id": PEER});
    let hit = json!({"delegation_id": "d-1", "status": "completed", "target_id": PEER,
                     "idempotent_hit": true});
    let answers = [Scripted::json(202, made), Scripted::ok(hit)];
    mcp.world.fake.script("POST", &own("delegate"), answers);
    let arguments = json!({"workspace_id": PEER, "task": "do it"});
    for status in ["delegated", "completed"] {
        let answer = mcp
            .call("delegate_task_async", arguments.clone())
            .await
            .unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer, json!({"delegation_id": "d-1", "status": status}));
    }
    let sent = mcp.world.fake.requests_to("POST", &own("delegate"));
    assert_eq!(sent[0].json()["target_id"], PEER);
    assert_eq!(sent[0].json()["task"], "do it");
    assert_ne!(
        sent[0].json()["idempotency_key"],
        sent[1].json()["idempotency_key"]
    );
    mcp.world.fake.answer(
        "POST",
        &own("delegate"),
        Scripted::json(404, json!({"error": "workspace not found"})),
    );
    let error = mcp
        .call("delegate_task_async", arguments)
        .await
        .unwrap_err();
    assert!(error.contains("404: workspace not found"), "{error}");
    mcp.world.assert_proven();
}

#[tokio::test]
async fn a_delegation_whose_answer_was_lost_is_asked_for_again_and_is_not_another_one() {
    let mut mcp = Mcp::start().await;
    let hit = json!({"delegation_id": "d-1", "status": "pending", "target_id": PEER,
                     "idempotent_hit": true});
    let answers = [Scripted::Broken, Scripted::ok(hit)];
    mcp.world.fake.script("POST", &own("delegate"), answers);
    let arguments = json!({"workspace_id": PEER, "task": "do it"});
    let answer = mcp.call("delegate_task_async", arguments).await.unwrap();
    assert!(answer.contains("d-1"), "{answer}");
    let sent = mcp.world.fake.requests_to("POST", &own("delegate"));
    assert_eq!(sent.len(), 2);
    assert_eq!(
        sent[0].json()["idempotency_key"],
        sent[1].json()["idempotency_key"]
    );
}

#[tokio::test]
async fn how_tasks_stand_is_told_for_all_and_for_one_with_its_whole_text() {
    let mut mcp = Mcp::start().await;
    let rows = json!([
        {"id": "r3", "type": "delegation", "target_id": PEER, "status": "failed",
         "summary": "Delegation failed", "error": "refused", "created_at": "3"},
        {"id": "r2", "type": "delegation", "delegation_id": "d-1", "target_id": PEER,
         "status": "completed", "response_preview": "long long...", "created_at": "2"},
        {"id": "r1", "type": "delegation", "delegation_id": "d-1", "target_id": PEER,
         "status": "completed", "created_at": "1"},
    ]);
    mcp.world
        .fake
        .answer("GET", &own("delegations"), Scripted::ok(rows));
    let whole = json!([{"id": "r2", "method": "delegate_result",
                        "response_body": {"delegation_id": "d-1", "text": "long long text"}}]);
    mcp.world
        .fake
        .answer("GET", &own("activity"), Scripted::ok(whole));
    let all = mcp.call("check_task_status", json!({})).await.unwrap();
    let all: Value = serde_json::from_str(&all).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 2);
    assert_eq!(all[1]["response_preview"], "long long...");
    let one = mcp
        .call("check_task_status", json!({"task_id": "d-1"}))
        .await
        .unwrap();
    let one: Value = serde_json::from_str(&one).unwrap();
    assert_eq!(one["response"], "long long text");
    let failed = mcp
        .call("check_task_status", json!({"task_id": "r3"}))
        .await
        .unwrap();
    let failed: Value = serde_json::from_str(&failed).unwrap();
    assert_eq!(
        (&failed["status"], &failed["error"]),
        (&json!("failed"), &json!("refused"))
    );
    let error = mcp
        .call("check_task_status", json!({"task_id": "d-9"}))
        .await
        .unwrap_err();
    assert!(
        error.contains("d-9") && error.contains("What to do"),
        "{error}"
    );
    mcp.world.assert_proven();
}

#[tokio::test]
async fn peers_the_user_and_the_workspace_itself() {
    let mut mcp = Mcp::start().await;
    let peers = json!([{"id": PEER, "name": "Ana", "role": null, "status": "online", "tier": 1,
        "url": "http://x", "agent_card": {"description": "counts", "skills": [{"name": "ships"}]}}]);
    let path = format!("/registry/{WORKSPACE}/peers");
    mcp.world.fake.answer("GET", &path, Scripted::ok(peers));
    let listed = mcp
        .call("list_peers", json!({"query": "a b&c"}))
        .await
        .unwrap();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let ana = json!({"id": PEER, "name": "Ana", "role": null, "status": "online",
                     "active_tasks": null, "description": "counts", "skills": ["ships"]});
    assert_eq!(listed, json!([ana]));
    let asked = mcp.world.fake.requests_to("GET", &path);
    assert_eq!(asked[0].parameter("q"), Some("a+b%26c"));

    mcp.world.fake.answer(
        "POST",
        &own("notify"),
        Scripted::ok(json!({"status": "sent"})),
    );
    let sent = mcp
        .call("send_message_to_user", json!({"message": "hello"}))
        .await;
    assert_eq!(sent, Ok("sent".to_owned()));
    assert!(
        mcp.call("send_message_to_user", json!({"message": ""}))
            .await
            .is_err()
    );
    let told = mcp.world.fake.requests_to("POST", &own("notify"));
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].json(), json!({"message": "hello"}));

    let path = format!("/workspaces/{WORKSPACE}");
    mcp.world
        .fake
        .answer("GET", &path, Scripted::ok(json!({"name": "me"})));
    let info = mcp.call("get_workspace_info", json!({})).await;
    assert_eq!(info, Ok("{\"name\":\"me\"}".to_owned()));
    mcp.world.assert_proven();
}

#[tokio::test]
async fn a_long_answer_is_cut_and_a_platform_that_is_gone_is_an_error() {
    let mut mcp = Mcp::start().await;
    mcp.peer_answers(answered(&"x".repeat(600_000)));
    let arguments = json!({"workspace_id": PEER, "task": "x"});
    let answer = mcp.call("delegate_task", arguments.clone()).await.unwrap();
    assert!(answer.len() < 270_000 && answer.contains("of 600000 bytes are shown"));
    // A token that the platform does not know.
    let unknown = Scripted::json(401, json!({"error": "invalid workspace auth token"}));
    mcp.world.fake.answer("POST", &own("notify"), unknown);
    let error = mcp
        .call("send_message_to_user", json!({"message": "x"}))
        .await
        .unwrap_err();
    assert!(error.contains("token") && !error.contains(TOKEN), "{error}");
}

#[tokio::test]
async fn wrong_calls_are_refused_and_the_server_ends_with_its_input() {
    let mut mcp = Mcp::start().await;
    let unknown = json!({"name": "rm_rf", "arguments": {}});
    assert!(mcp.request("tools/call", unknown).await["error"].is_object());
    let missing = json!({"name": "delegate_task", "arguments": {"task": "x"}});
    let answer = mcp.request("tools/call", missing).await;
    let is_refused = answer["error"].is_object() || answer["result"]["isError"] == true;
    assert!(is_refused, "{answer}");
    assert!(mcp.request("nonsense", json!({})).await["error"].is_object());
    assert!(mcp.request("ping", json!({})).await["result"].is_object());
    let Mcp { input, server, .. } = mcp;
    drop(input);
    server.await.unwrap().unwrap();
}
