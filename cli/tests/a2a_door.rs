//! The A2A door: callers of 0.3 and of 1.0, agents of either, errors in the
//! protocol's own words, nothing queued.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use candor_testkit::a2a_agent::{A2aAgent, Behaviour, Gate};
use candor_testkit::agent::{FakeAgent, Mood};
use candor_testkit::http::{Answer, Call, Client};
use candor_testkit::platform::{Binaries, DataDir, Platform};
use candor_testkit::postgres;
use candor_testkit::wait::wait_for;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);
const ADMIN: &str = "the-admin-token-of-this-test";

/// One platform with an agent behind a workspace.
struct World {
    candor: Platform,
    client: Client,
    agent: A2aAgent,
    /// The workspace, with its token.
    fake: FakeAgent,
    _data: DataDir,
}

fn old_card() -> Value {
    json!({"name": "old", "protocolVersion": "0.3.0", "url": "http://localhost:1/"})
}

fn new_card() -> Value {
    json!({"name": "new", "supportedInterfaces": [
        {"url": "http://localhost:1/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0",
         "tenant": "blue"}]})
}

async fn world(card: Value) -> World {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    let agent = A2aAgent::start().await.unwrap();
    let mut fake = FakeAgent::create(&mut client, "target").await.unwrap();
    let url = format!("http://localhost:{}", agent.address().port());
    let body = json!({"id": fake.id, "url": url, "agent_card": card});
    let registered = client.send(Call::post("/registry/register", &body)).await;
    let registered = registered.unwrap().json();
    fake.token = registered["auth_token"].as_str().unwrap().to_owned();
    World {
        candor,
        client,
        agent,
        fake,
        _data: data,
    }
}

impl World {
    fn post(&self, version: &str, body: &Value) -> Call {
        let call = Call::post(format!("/a2a/{}", self.fake.id), body);
        match version {
            "" => call,
            version => call.header("a2a-version", version),
        }
    }

    async fn ask(&mut self, version: &str, body: &Value) -> Answer {
        let call = self.post(version, body);
        self.client.send(call).await.unwrap()
    }

    /// The `error` of an answer with status 200.
    async fn error(&mut self, version: &str, body: &Value) -> Value {
        let answer = self.ask(version, body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = answer.json();
        assert_eq!(answer["id"], body["id"], "{answer}");
        answer["error"].clone()
    }

    /// The body that the agent was sent last.
    fn asked(&self) -> Value {
        self.agent.requests().last().unwrap().json()
    }

    /// Waits for so many rows of the workspace, newest first.
    async fn rows(&self, n: usize) -> Vec<Value> {
        let target = format!("/workspaces/{}/activity?type=a2a_receive", self.fake.id);
        let addr = self.candor.http();
        let token = self.fake.token.clone();
        wait_for("rows", SOON, || {
            let call = Call::get(target.as_str()).bearer(&token);
            async move {
                let rows = Client::new(addr).send(call).await.ok()?.json();
                let rows = rows.as_array()?.clone();
                (rows.len() >= n).then_some(rows)
            }
        })
        .await
        .unwrap()
    }

    async fn queued(&self) -> i64 {
        let count = "SELECT count(*) FROM relay.entries";
        postgres::count(&self.candor.database_url(), count)
            .await
            .unwrap()
    }
}

fn send_03(id: u32) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "message/send", "params": {"message": {
        "kind": "message", "role": "user", "messageId": format!("m-{id}"),
        "parts": [{"kind": "text", "text": "hello"}]}}})
}

fn send_10(id: u32) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "SendMessage", "params": {"message": {
        "role": "ROLE_USER", "messageId": format!("m-{id}"), "parts": [{"text": "hello"}]}}})
}

/// A result of an agent of 1.0.
fn answers(id: u32, result: &Value) -> Behaviour {
    let body = json!({"jsonrpc": "2.0", "id": id, "result": result});
    Behaviour::status(200, &body)
}

/// Two events of an agent of 1.0.
fn streams(id: u32) -> Behaviour {
    let event = |state: &str| {
        json!({"jsonrpc": "2.0", "id": id, "result": {"statusUpdate": {
            "taskId": "t", "contextId": "c", "status": {"state": state}}}})
    };
    let (working, done) = (event("TASK_STATE_WORKING"), event("TASK_STATE_COMPLETED"));
    Behaviour::Status {
        code: 200,
        body: format!(": hi\n\ndata: {working}\n\ndata: {done}\n\n").into(),
        content_type: "text/event-stream".to_owned(),
        headers: vec![("a2a-extensions".to_owned(), "urn:x".to_owned())],
    }
}

/// The data of every event.
fn events(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.header("content-type"), "text/event-stream");
    let text = answer.text();
    let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_of_both_versions_reach_an_agent_of_0_3() {
    let mut world = world(old_card()).await;
    // The same version passes byte for byte.
    let answer = world.ask("", &send_03(1)).await;
    assert_eq!(answer.header("content-type"), "application/json");
    let result = &answer.json()["result"];
    assert_eq!(result["kind"], "message");
    assert_eq!(result["parts"][0]["text"], "echo: hello");
    assert_eq!(world.asked(), send_03(1));
    let received = world.agent.requests().pop().unwrap();
    assert_eq!(received.header("a2a-version"), Some("0.3"));
    assert_eq!(received.header("authorization"), None);
    assert_eq!(received.header("x-workspace-id"), None);
    // 1.0 is translated both ways.
    let answer = world.ask("1.0", &send_10(2)).await.json();
    assert_eq!(answer["id"], 2);
    let message = &answer["result"]["message"];
    assert_eq!(message["role"], "ROLE_AGENT");
    assert_eq!(message["parts"][0], json!({"text": "echo: hello"}));
    let asked = world.asked();
    assert_eq!(asked["method"], "message/send");
    assert_eq!(asked["params"]["message"]["parts"][0]["kind"], "text");

    world.agent.set(Behaviour::Task);
    let get = json!({"jsonrpc": "2.0", "id": "g", "method": "GetTask", "params": {"id": "t1"}});
    let task = world.ask("1.0", &get).await.json();
    assert_eq!(task["result"]["status"]["state"], "TASK_STATE_COMPLETED");
    assert_eq!(task["id"], "g");
    assert_eq!(world.asked()["method"], "tasks/get");
    let get = json!({"jsonrpc": "2.0", "id": 4, "method": "tasks/get", "params": {"id": "t1"}});
    let task = world.ask("0.3.0", &get).await.json();
    assert_eq!(task["result"]["status"]["state"], "completed");

    // Rows are the caller's own words, under its own name.
    let rows = world.rows(4).await;
    assert_eq!(rows[2]["request_body"], send_10(2));
    assert_eq!(rows[2]["method"], "SendMessage");
    assert_eq!(rows[2]["status"], "ok");
    assert_eq!(rows[2]["source_id"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_of_both_versions_reach_an_agent_of_1_0() {
    let mut world = world(new_card()).await;
    let message = json!({"message": {"role": "ROLE_AGENT", "messageId": "r",
        "parts": [{"text": "yes"}]}});
    world.agent.set(answers(1, &message));
    let answer = world.ask("1.0", &send_10(1)).await.json();
    assert_eq!(answer["result"], message);
    assert_eq!(world.asked(), send_10(1));
    let received = world.agent.requests().pop().unwrap();
    assert_eq!(received.header("a2a-version"), Some("1.0"));

    let call = world
        .post("", &send_03(2))
        .header("a2a-extensions", "urn:x");
    let answer = world.client.send(call).await.unwrap().json();
    assert_eq!(answer["id"], 2);
    assert_eq!(answer["result"]["kind"], "message");
    assert_eq!(answer["result"]["parts"][0]["kind"], "text");
    let received = world.agent.requests().pop().unwrap();
    assert_eq!(received.header("a2a-version"), Some("1.0"));
    assert_eq!(received.header("a2a-extensions"), Some("urn:x"));
    let asked = received.json();
    assert_eq!(asked["method"], "SendMessage");
    assert_eq!(asked["params"]["tenant"], "blue");

    let task = json!({"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}});
    world.agent.set(answers(3, &task));
    let get = json!({"jsonrpc": "2.0", "id": 3, "method": "tasks/get", "params": {"id": "t"}});
    let answer = world.ask("0.3", &get).await.json();
    assert_eq!(answer["result"]["status"]["state"], "working");
    let get = json!({"jsonrpc": "2.0", "id": 3, "method": "GetTask", "params": {"id": "t"}});
    assert_eq!(world.ask("1.0", &get).await.json()["result"], task);
    // The version may be named in the query.
    let call = Call::post(format!("/a2a/{}?A2A-Version=1.0", world.fake.id), &get);
    assert_eq!(
        world.client.send(call).await.unwrap().json()["result"],
        task
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_come_in_the_callers_version_as_they_are_made() {
    let mut old = world(old_card()).await;
    let gate = Gate::closed();
    old.agent.set(Behaviour::Stream(2, gate.clone()));
    gate.raise();
    let mut ask = send_10(1);
    ask["method"] = json!("SendStreamingMessage");
    let call = old.post("1.0", &ask);
    // The first event comes while the agent still works.
    let (head, read) = old
        .client
        .read_until(call, "TASK_STATE_WORKING", SOON)
        .await
        .unwrap();
    assert_eq!(head.header("content-type"), "text/event-stream");
    assert!(read.contains("statusUpdate"), "{read}");
    assert!(!read.contains("\"kind\""), "{read}");
    assert_eq!(old.asked()["method"], "message/stream");
    gate.open();
    let told = events(&old.ask("1.0", &ask).await);
    let states: Vec<&Value> = told
        .iter()
        .map(|event| &event["result"]["statusUpdate"]["status"]["state"])
        .collect();
    assert_eq!(states, ["TASK_STATE_WORKING", "TASK_STATE_COMPLETED"]);
    let mut ask = send_03(2);
    ask["method"] = json!("message/stream");
    let told = events(&old.ask("", &ask).await);
    assert_eq!(told[1]["result"]["final"], true);

    let mut new = world(new_card()).await;
    new.agent.set(streams(2));
    let answer = new.ask("0.3", &ask).await;
    assert_eq!(answer.header("a2a-extensions"), "urn:x");
    assert!(answer.text().starts_with(": hi\n\n"), "{}", answer.text());
    let told = events(&answer);
    assert_eq!(told[0]["result"]["kind"], "status-update");
    assert_eq!(told[0]["result"]["status"]["state"], "working");
    assert_eq!(told[1]["result"]["final"], true);
    ask["method"] = json!("SendStreamingMessage");
    let told = events(&new.ask("1.0", &ask).await);
    assert!(told[0]["result"]["statusUpdate"].is_object());

    // What is no event of the protocol ends the stream with the protocol's error.
    new.agent.set(Behaviour::Status {
        code: 200,
        body: "data: {\"no\":1}\n\ndata: {}\n\n".into(),
        content_type: "text/event-stream".to_owned(),
        headers: Vec::new(),
    });
    let mut ask = send_03(5);
    ask["method"] = json!("message/stream");
    let told = events(&new.ask("", &ask).await);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (&told[0]["error"]["code"], &told[0]["id"]),
        (&json!(-32006), &json!(5))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_in_the_protocols_own_codes() {
    let mut world = world(old_card()).await;
    let send = send_03(1);
    let version = world.error("2.0", &send).await;
    assert_eq!(version["code"], -32009);
    assert_eq!(version["data"][0]["reason"], "VERSION_NOT_SUPPORTED");
    assert_eq!(world.error("1.0", &send).await["code"], -32601);
    assert_eq!(world.error("", &send_10(1)).await["code"], -32601);
    let mut wrong = send.clone();
    wrong["jsonrpc"] = json!("1.0");
    assert_eq!(world.error("", &wrong).await["code"], -32600);
    wrong = send.clone();
    wrong["params"] = json!([]);
    assert_eq!(world.error("", &wrong).await["code"], -32602);
    let call = Call::post(format!("/a2a/{}", world.fake.id), &json!({})).body("{");
    let answer = world.client.send(call).await.unwrap();
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (200, &json!(-32700))
    );
    assert_eq!(world.agent.counts().requests, 0);

    // The agent's own errors, and what is none of its.
    world.agent.set(Behaviour::RpcError);
    let error = world.error("", &send).await;
    assert_eq!(error, json!({"code": -32603, "message": "model exploded"}));
    let error = world.error("1.0", &send_10(2)).await;
    assert_eq!(error["code"], -32603);
    world.agent.set(Behaviour::NotJson);
    assert_eq!(world.error("", &send).await["code"], -32006);
    world.agent.set(Behaviour::status(500, &json!("oops")));
    let error = world.error("", &send).await;
    assert_eq!(error["code"], -32000);
    assert_eq!(error["data"][0]["metadata"]["http_status"], "500");
    world
        .agent
        .set(Behaviour::Redirect("http://localhost:1/".to_owned()));
    let error = world.error("", &send).await;
    assert_eq!(error["data"][0]["reason"], "AGENT_UNREACHABLE");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_queued_at_this_door() {
    let mut world = world(old_card()).await;
    let reason = |error: &Value| error["data"][0]["reason"].clone();
    world.agent.set(Behaviour::Eof);
    let error = world.error("", &send_03(1)).await;
    assert_eq!(
        (&error["code"], reason(&error)),
        (&json!(-32000), json!("AGENT_BUSY"))
    );
    assert_eq!(error["data"][0]["domain"], "candor");
    assert_eq!(error["data"][0]["metadata"]["retry_after"], "30");
    world.agent.set(Behaviour::Hang);
    let call = world.post("1.0", &send_10(2)).header("x-timeout", "1");
    let error = world.client.send(call).await.unwrap().json()["error"].clone();
    assert_eq!(reason(&error), "DELIVERY_UNKNOWN");
    world.fake.mood = Mood::Wedged {
        sample_error: "Control request timeout: initialize".to_owned(),
    };
    world.fake.beat(&mut world.client).await.unwrap();
    let error = world.error("", &send_03(3)).await;
    assert_eq!(reason(&error), "WORKSPACE_WEDGED");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("Control request timeout")
    );
    assert_eq!(error["data"][0]["metadata"]["runtime_state"], "wedged");
    world.fake.mood = Mood::Healthy;
    world.fake.beat(&mut world.client).await.unwrap();
    let gone = A2aAgent::start().await.unwrap();
    let url = format!("http://localhost:{}", gone.address().port());
    gone.stop().await.unwrap();
    let body = json!({"id": world.fake.id, "url": url, "agent_card": old_card()});
    let call = Call::post("/registry/register", &body).bearer(&world.fake.token);
    assert_eq!(world.client.send(call).await.unwrap().status, 200);
    let error = world.error("", &send_03(4)).await;
    assert_eq!(reason(&error), "AGENT_UNREACHABLE");
    let rows = world.rows(3).await;
    assert!(rows.iter().all(|row| row["status"] == "error"), "{rows:?}");
    assert_eq!(world.queued().await, 0);

    // Also what is not there, and what may not be called.
    for unknown in ["01a20000-0000-4000-8000-0000000000aa", "nope"] {
        let call = Call::post(format!("/a2a/{unknown}"), &send_03(9));
        let answer = world.client.send(call).await.unwrap();
        let error = answer.json()["error"].clone();
        assert_eq!(
            (answer.status, reason(&error)),
            (200, json!("WORKSPACE_NOT_FOUND"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_say_who_called_and_strangers_do_not_call() {
    let mut world = world(old_card()).await;
    // A child may talk to its parent, a stranger not to anybody.
    let body = json!({"name": "child", "tier": 1, "parent_id": world.fake.id});
    let created = world.client.send(Call::post("/workspaces", &body)).await;
    let child = created.unwrap().json()["id"].as_str().unwrap().to_owned();
    let call = world
        .post("", &send_03(1))
        .header("x-workspace-id", &*child);
    assert!(world.client.send(call).await.unwrap().json()["result"].is_object());
    let rows = world.rows(1).await;
    assert_eq!(rows[0]["source_id"], *child);

    let stranger = FakeAgent::create(&mut world.client, "stranger")
        .await
        .unwrap();
    let body = json!({"name": "its child", "tier": 1, "parent_id": stranger.id});
    let created = world.client.send(Call::post("/workspaces", &body)).await;
    let far = created.unwrap().json()["id"].as_str().unwrap().to_owned();
    let call = world.post("", &send_03(2)).header("x-workspace-id", &*far);
    let answer = world.client.send(call).await.unwrap();
    let error = &answer.json()["error"];
    assert_eq!(
        (answer.status, &error["data"][0]["reason"]),
        (200, &json!("NOT_ALLOWED"))
    );

    // Who the caller is remains a matter of HTTP.
    let call = world.post("", &send_03(3)).bearer("no-such-token");
    let answer = world.client.send(call).await.unwrap();
    assert_eq!(answer.json(), json!({"error": "invalid caller auth token"}));
    assert_eq!(answer.status, 401);
    let call = world
        .post("", &send_03(3))
        .header("x-workspace-id", "system:x");
    assert_eq!(world.client.send(call).await.unwrap().status, 403);
    assert_eq!(world.agent.counts().requests, 1);
    drop(world);

    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &[("ADMIN_TOKEN", ADMIN)]).await.unwrap();
    let id = "01a20000-0000-4000-8000-0000000000aa";
    let call = Call::post(format!("/a2a/{id}"), &send_03(3));
    let answer = Client::new(candor.http()).send(call).await.unwrap();
    assert_eq!(answer.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extended_card_points_at_the_platform() {
    let mut world = world(old_card()).await;
    let port = world.agent.address().port();
    let card = json!({"name": "more", "protocolVersion": "0.3.0",
        "url": format!("http://localhost:{port}/"), "signatures": [{"protected": "p"}]});
    world.agent.set(answers(1, &card));
    let ask = |method: &str| json!({"jsonrpc": "2.0", "id": 1, "method": method});
    let address = format!("http://{}/a2a/{}", world.candor.http(), world.fake.id);
    for (version, method) in [
        ("0.3", "agent/getAuthenticatedExtendedCard"),
        ("1.0", "GetExtendedAgentCard"),
    ] {
        let answer = world.ask(version, &ask(method)).await;
        let card = &answer.json()["result"];
        assert_eq!(
            (&card["name"], &card["url"]),
            (&json!("more"), &json!(address))
        );
        assert!(
            !answer.text().contains(&port.to_string()),
            "{}",
            answer.text()
        );
    }
}
