//! Streams: what they say and in which order, to everybody who follows.
#![allow(clippy::unwrap_used)]

mod stage;

use std::collections::HashMap;
use std::time::Duration;

use candor_testkit::http::Client;
use candor_testkit::wait::{wait_for, wait_until};
use candor_workspace::a2a::Limits;
use serde_json::{Value, json};
use stage::{SOON, Setting, Stage, Step, Stream, message_03, message_10, plain_of, rpc};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

#[tokio::test]
async fn a_stream_of_1_0_tells_the_task_its_states_and_its_answer() {
    let stage = Stage::new().await;
    let mut stream = stage
        .stream("SendStreamingMessage", json!({"message": message_10("hi")}))
        .await;
    let mut seen = HashMap::new();
    let mut next = async |stream: &mut Stream| plain_of(&stream.next().await.unwrap(), &mut seen);
    let event = |result: Value| json!({"jsonrpc": "2.0", "id": 1, "result": result});
    let status = |status: Value| {
        event(
            json!({"statusUpdate": {"contextId": "<id 1>", "taskId": "<id 2>", "status": status}}),
        )
    };
    let chunk = |text: &str, append: bool, last: bool| {
        event(json!({"artifactUpdate": {
            "contextId": "<id 1>", "taskId": "<id 2>", "append": append, "lastChunk": last,
            "artifact": {"artifactId": "answer", "parts": [{"text": text}]}}}))
    };
    let task = event(json!({"task": {
        "id": "<id 2>", "contextId": "<id 1>",
        "status": {"state": "TASK_STATE_SUBMITTED", "timestamp": "<time>"},
        "history": [{"messageId": "m-1", "role": "ROLE_USER", "parts": [{"text": "hi"}],
                     "contextId": "<id 1>", "taskId": "<id 2>"}]}}));
    assert_eq!(next(&mut stream).await, task);
    let working = status(json!({"state": "TASK_STATE_WORKING", "timestamp": "<time>"}));
    assert_eq!(next(&mut stream).await, working);
    stage.does(Step::Text("one ")).await;
    assert_eq!(next(&mut stream).await, chunk("one ", false, false));
    stage.does(Step::Tool("Bash", "ls")).await;
    let note = status(
        json!({"state": "TASK_STATE_WORKING", "timestamp": "<time>", "message": {
        "messageId": "<id 3>", "role": "ROLE_AGENT", "contextId": "<id 1>", "taskId": "<id 2>",
        "parts": [{"text": "Bash: ls"}]}}),
    );
    assert_eq!(next(&mut stream).await, note);
    stage.does(Step::Text("two")).await;
    assert_eq!(next(&mut stream).await, chunk("two", true, false));
    stage.answers("one two three").await;
    assert_eq!(next(&mut stream).await, chunk(" three", true, true));
    let completed = status(json!({"state": "TASK_STATE_COMPLETED", "timestamp": "<time>"}));
    assert_eq!(next(&mut stream).await, completed);
    assert_eq!(stream.next().await, None);
    assert_eq!(
        stage.vitals.report().progress.moved,
        3,
        "each update is progress"
    );
}

#[tokio::test]
async fn a_stream_of_0_3_ends_with_final() {
    let stage = Stage::new().await;
    let mut stream = stage
        .stream("message/stream", json!({"message": message_03("hi")}))
        .await;
    let task = stream.next().await.unwrap();
    stage.answers("hello").await;
    let mut seen = HashMap::from([
        (
            task["result"]["contextId"].as_str().unwrap().to_owned(),
            "<context>".to_owned(),
        ),
        (
            task["result"]["id"].as_str().unwrap().to_owned(),
            "<task>".to_owned(),
        ),
    ]);
    assert_eq!(task["result"]["kind"], "task");
    assert_eq!(task["result"]["status"]["state"], "submitted");
    let rest: Vec<Value> = stream.rest().await;
    let rest: Vec<Value> = rest
        .iter()
        .map(|event| plain_of(&event["result"], &mut seen))
        .collect();
    let status = |state: &str, is_final: bool| {
        json!({"kind": "status-update", "contextId": "<context>", "taskId": "<task>",
               "final": is_final, "status": {"state": state, "timestamp": "<time>"}})
    };
    let artifact = json!({"kind": "artifact-update", "contextId": "<context>", "taskId": "<task>",
        "append": false, "lastChunk": true,
        "artifact": {"artifactId": "answer", "parts": [{"kind": "text", "text": "hello"}]}});
    assert_eq!(
        rest,
        [
            status("working", false),
            artifact,
            status("completed", true)
        ]
    );
}

#[tokio::test]
async fn several_streams_see_the_same_events_and_begin_with_the_task() {
    let stage = Stage::new().await;
    let mut first = stage
        .stream("SendStreamingMessage", json!({"message": message_10("hi")}))
        .await;
    let task = first.next().await.unwrap();
    let id = task["result"]["task"]["id"].clone();
    first.next().await.unwrap();
    stage.does(Step::Text("one ")).await;
    first.next().await.unwrap();
    let mut second = stage.stream("SubscribeToTask", json!({"id": id})).await;
    let snapshot = second.next().await.unwrap();
    let artifacts = &snapshot["result"]["task"]["artifacts"];
    assert_eq!(artifacts[0]["parts"], json!([{"text": "one "}]));
    let mut third = stage.stream("tasks/resubscribe", json!({"id": id})).await;
    let snapshot = third.next().await.unwrap();
    assert_eq!(snapshot["result"]["status"]["state"], "working");
    stage.does(Step::Text("two")).await;
    stage.does(Step::Tool("Read", "a.txt")).await;
    stage.answers("one two").await;
    let (first, second, third) = (first.rest().await, second.rest().await, third.rest().await);
    assert_eq!(first, second);
    assert_eq!(first.len(), third.len());
    let kinds: Vec<&Value> = third.iter().map(|event| &event["result"]["kind"]).collect();
    assert_eq!(kinds.last().unwrap(), &&json!("status-update"));
    assert_eq!(third.last().unwrap()["result"]["final"], true);
    let text: String = first
        .iter()
        .filter_map(|event| {
            event["result"]["artifactUpdate"]["artifact"]["parts"][0]["text"].as_str()
        })
        .collect();
    assert_eq!(text, "two", "what followed the snapshot, once");
}

#[tokio::test]
async fn nothing_follows_a_task_that_ended_and_streams_say_errors_as_events() {
    let stage = Stage::new().await;
    let id = stage.begins("hi").await;
    stage.answers("done").await;
    stage.task_in(&id, "TASK_STATE_COMPLETED").await;
    for (method, id, code) in [
        ("SubscribeToTask", id.as_str(), -32004),
        ("tasks/resubscribe", id.as_str(), -32004),
        ("SubscribeToTask", "x", -32001),
        ("message/stream", "x", -32602),
    ] {
        let events = stage.stream(method, json!({"id": id})).await.rest().await;
        assert_eq!(events.len(), 1, "{method}");
        assert_eq!(
            (&events[0]["error"]["code"], &events[0]["id"]),
            (&json!(code), &json!(1))
        );
    }
    let quiet = Stage::with(Setting {
        streaming: false,
        ..Setting::default()
    })
    .await;
    let events = quiet
        .stream("message/stream", json!({"message": message_03("hi")}))
        .await;
    assert_eq!(events.rest().await[0]["error"]["code"], -32004);
    assert_eq!(quiet.vitals.active(), 0);
}

#[tokio::test]
async fn a_failed_turn_ends_its_stream_with_the_error() {
    let stage = Stage::new().await;
    stage.does(Step::Fail("exit status 1: no model")).await;
    let stream = stage
        .stream("message/stream", json!({"message": message_03("hi")}))
        .await;
    let events = stream.rest().await;
    let last = &events.last().unwrap()["result"];
    assert_eq!(last["status"]["state"], "failed");
    assert_eq!(
        last["status"]["message"]["parts"][0]["text"],
        "exit status 1: no model"
    );
    assert_eq!(last["final"], true);
}

#[tokio::test]
async fn who_reads_too_slowly_is_told_and_the_turn_goes_on() {
    let stage = Stage::new().await;
    let call = rpc(
        "SendStreamingMessage",
        &json!({"message": message_10("hi")}),
    );
    let mut slow = Client::new(stage.addr).open(call).await.unwrap();
    // Far more than the buffers of two sockets and the events that are kept.
    stage.does(Step::Tools(60_000)).await;
    stage.answers("done").await;
    let page = candor_testkit::wait::wait_for("the end of the turn", SOON * 3, || async {
        let page = stage.lists("ListTasks", json!({})).await["result"].clone();
        (page["tasks"][0]["status"]["state"] == "TASK_STATE_COMPLETED").then_some(page)
    })
    .await
    .unwrap();
    assert_eq!(page["totalSize"], 1);
    let mut tail = String::new();
    while let Some(data) = slow.next(SOON).await.unwrap() {
        tail.push_str(&String::from_utf8_lossy(&data));
        let beginning = tail.len().saturating_sub(2_000);
        tail.drain(..tail.ceil_char_boundary(beginning));
    }
    assert!(tail.contains("STREAM_LAGGED"), "{tail}");
    assert!(slow.bytes_read() < 60_000 * 300, "it missed some");
}

/// A stream of which nothing is read, and more than all buffers hold to be read.
async fn deaf(stage: &Stage) -> TcpStream {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "SendStreamingMessage",
                      "params": {"message": message_10("hi")}})
    .to_string();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let mut stream = socket.connect(stage.addr).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stage.does(Step::Tools(60_000)).await;
    stage.answers("done").await;
    stream
}

#[tokio::test]
async fn who_reads_nothing_leaves_its_place_to_another() {
    let limits = Limits {
        streams: 1,
        patience: Duration::from_millis(200),
        ..Limits::default()
    };
    let stage = Stage::with(Setting {
        limits,
        ..Setting::default()
    })
    .await;
    let _deaf = deaf(&stage).await;
    assert!(wait_until(SOON * 3, || stage.vitals.report().progress.answered == 1).await);
    let heard = wait_for("a place", SOON, || async {
        let call = rpc("message/stream", &json!({"message": message_03("hi")}));
        let opened = Client::new(stage.addr).open(call).await.unwrap();
        (opened.status == 200).then_some(opened)
    });
    let mut heard = heard.await.unwrap();
    stage.answers("here I am").await;
    heard.read_until("here I am", SOON).await.unwrap();
}

#[tokio::test]
async fn what_nobody_reads_is_bounded_in_bytes() {
    let limits = Limits {
        unread: 64 * 1024,
        ..Limits::default()
    };
    let stage = Stage::with(Setting {
        limits,
        ..Setting::default()
    })
    .await;
    let mut reader = stage
        .stream("SendStreamingMessage", json!({"message": message_10("hi")}))
        .await;
    let task = reader.next().await.unwrap()["result"]["task"]["id"].clone();
    stage.answers(&"x".repeat(100 * 1024)).await;
    let events = reader.rest().await;
    let error = &events.last().unwrap()["error"];
    let info = &error["data"][0];
    assert_eq!(info["reason"], "STREAM_LAGGED", "{error}");
    assert_eq!(info["metadata"]["task_id"], task);
    // The task has it all the same, and the scales are free again.
    let text = &stage.task(task.as_str().unwrap()).await["artifacts"][0]["parts"][0]["text"];
    assert_eq!(text.as_str().unwrap().len(), 100 * 1024);
    let next = stage
        .stream("message/stream", json!({"message": message_03("hi")}))
        .await;
    stage.answers("short").await;
    assert_eq!(next.rest().await.last().unwrap()["result"]["final"], true);
}

#[tokio::test]
async fn a_stream_that_is_asked_for_again_is_of_the_same_task() {
    let stage = Stage::new().await;
    let params = json!({"message": message_10("hi")});
    let repeat = || rpc("SendStreamingMessage", &params).header("x-candor-attempt", "2");
    let mut first = stage.stream("SendStreamingMessage", params.clone()).await;
    let task = first.next().await.unwrap()["result"]["task"]["id"].clone();
    stage.does(Step::Text("one ")).await;
    first.next().await.unwrap();
    first.next().await.unwrap();
    drop(first);
    // The one that runs is joined: as it is, then what follows.
    let mut again = stage.streams(repeat()).await;
    let snapshot = again.next().await.unwrap()["result"]["task"].clone();
    assert_eq!(snapshot["id"], task);
    assert_eq!(snapshot["artifacts"][0]["parts"][0]["text"], "one ");
    stage.answers("one two").await;
    let rest = again.rest().await;
    let states = rest.last().unwrap()["result"]["statusUpdate"]["status"].clone();
    assert_eq!(states["state"], "TASK_STATE_COMPLETED");
    // The one that is over is told, and that is the end.
    let over = stage.streams(repeat()).await.rest().await;
    assert_eq!(over.len(), 1, "{over:?}");
    let told = &over[0]["result"]["task"];
    assert_eq!(
        (&told["id"], &told["status"]["state"]),
        (&task, &states["state"])
    );
    assert_eq!(told["artifacts"][0]["parts"][0]["text"], "one two");
    assert_eq!(stage.vitals.report().progress.begun, 1);
}
