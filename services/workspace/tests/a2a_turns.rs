//! What becomes of turns: failures, wedges, full queues, callers that leave.
#![allow(clippy::unwrap_used)]

mod stage;

use candor_testkit::wait::wait_until;
use candor_workspace::vitals::Standing;
use serde_json::{Value, json};
use stage::{SOON, Setting, Stage, Step, message_03, message_10, plain, rpc};

#[tokio::test]
async fn who_leaves_ends_nothing() {
    let stage = Stage::new().await;
    let impatient = stage.calls("message/send", json!({"message": message_03("hi")}));
    assert!(wait_until(SOON, || stage.vitals.active() == 1).await);
    impatient.abort();
    assert!(impatient.await.is_err(), "it left without an answer");
    let mut stream = stage
        .stream("message/stream", json!({"message": message_03("hi")}))
        .await;
    let id = stream.next().await.unwrap()["result"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    drop(stream);
    assert_eq!(stage.vitals.active(), 2);
    stage.answers("one").await;
    stage.answers("two").await;
    let task = stage.task_in(&id, "TASK_STATE_COMPLETED").await;
    assert_eq!(task["artifacts"][0]["parts"][0]["text"], "two");
    let page = stage
        .lists("ListTasks", json!({"status": "TASK_STATE_COMPLETED"}))
        .await;
    assert_eq!(page["result"]["totalSize"], 2, "the other one as well");
}

#[tokio::test]
async fn a_failure_is_an_internal_error_with_its_words_and_its_task() {
    let stage = Stage::new().await;
    stage
        .does(Step::Fail("exit status 1\nstderr: no model"))
        .await;
    let told = stage
        .call("message/send", json!({"message": message_03("hi")}))
        .await;
    let data = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "domain": "a2a-protocol.org", "reason": "INTERNAL", "metadata": {"task_id": "<id 1>"}}]);
    let golden = json!({"jsonrpc": "2.0", "id": 1, "error":
        {"code": -32603, "message": "exit status 1\nstderr: no model", "data": data}});
    assert_eq!(plain(&told), golden);
    let id = told["error"]["data"][0]["metadata"]["task_id"]
        .as_str()
        .unwrap();
    let task = stage.task(id).await;
    assert_eq!(task["status"]["state"], "TASK_STATE_FAILED");
    let words = &task["status"]["message"]["parts"][0]["text"];
    assert_eq!(words, "exit status 1\nstderr: no model");
}

#[tokio::test]
async fn a_wedged_agent_says_why_at_once() {
    let stage = Stage::new().await;
    stage
        .does(Step::Fail("Control request timeout: initialize"))
        .await;
    stage
        .call("message/send", json!({"message": message_03("hi")}))
        .await;
    let golden = json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32000,
        "message": "workspace agent is wedged: Control request timeout: initialize",
        "data": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "domain": "candor",
                  "reason": "WORKSPACE_WEDGED", "metadata": {"runtime_state": "wedged"}}]}});
    for (method, message) in [
        ("message/send", message_03("x")),
        ("SendMessage", message_10("x")),
    ] {
        let params = json!({"message": message, "configuration": {"blocking": false}});
        assert_eq!(stage.call(method, params).await, golden, "{method}");
    }
    let stream = stage
        .stream("message/stream", json!({"message": message_03("x")}))
        .await;
    assert_eq!(stream.rest().await, [golden]);
    let page = stage.lists("ListTasks", json!({})).await;
    assert_eq!(
        page["result"]["totalSize"], 1,
        "there is no task of what was not tried"
    );
}

#[tokio::test]
async fn who_waits_when_the_wedge_is_found_is_told_too() {
    let stage = Stage::new().await;
    let first = stage.calls("message/send", json!({"message": message_03("one")}));
    assert!(wait_until(SOON, || stage.vitals.active() == 1).await);
    let second = stage.calls("message/send", json!({"message": message_03("two")}));
    assert!(wait_until(SOON, || stage.vitals.active() == 2).await);
    stage
        .does(Step::Fail("Control request timeout: initialize"))
        .await;
    assert_eq!(first.await.unwrap().json()["error"]["code"], -32603);
    let second = second.await.unwrap().json();
    let info = &second["error"]["data"][0];
    assert_eq!(info["reason"], "WORKSPACE_WEDGED", "{second}");
    let task = stage
        .task(info["metadata"]["task_id"].as_str().unwrap())
        .await;
    assert_eq!(task["status"]["state"], "TASK_STATE_FAILED");
}

#[tokio::test]
async fn a_full_queue_is_503_and_says_when_to_come_again() {
    let stage = Stage::new().await;
    let mut ids = Vec::new();
    for _ in 0..33 {
        ids.push(stage.begins("hi").await);
    }
    for (method, message) in [
        ("message/send", message_03("x")),
        ("message/stream", message_03("x")),
    ] {
        let answer = stage.send(rpc(method, &json!({"message": message}))).await;
        assert_eq!(answer.status, 503, "{method}");
        assert_eq!(answer.header("retry-after"), "5");
        assert_eq!(answer.header("content-type"), "application/json");
        let golden = json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32000,
            "message": "the agent is busy: 32 turns wait already",
            "data": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "domain": "candor",
                      "reason": "AGENT_BUSY", "metadata": {"retry_after": "5"}}]}});
        assert_eq!(answer.json(), golden);
    }
    let told = stage.call("CancelTask", json!({"id": ids[0]})).await;
    assert_eq!(told["result"]["status"]["state"], "TASK_STATE_CANCELED");
    stage.begins("there is room").await;
}

#[tokio::test]
async fn a_retired_agent_is_503() {
    let stage = Stage::new().await;
    stage.vitals.stand(Standing::Draining);
    let answer = stage
        .send(rpc("SendMessage", &json!({"message": message_10("x")})))
        .await;
    assert_eq!(
        (answer.status, answer.header("retry-after").as_str()),
        (503, "5")
    );
    let error = &answer.json()["error"];
    assert_eq!(error["message"], "the agent is shutting down");
    assert_eq!(error["data"][0]["reason"], "AGENT_RETIRED");
}

#[tokio::test]
async fn who_waits_for_a_task_that_is_cancelled_is_given_the_task() {
    let stage = Stage::new().await;
    let waiting = stage.calls("message/send", json!({"message": message_03("hi")}));
    let id = candor_testkit::wait::wait_for("the task", SOON, || async {
        let page = stage.lists("ListTasks", json!({})).await;
        page["result"]["tasks"][0]["id"].as_str().map(str::to_owned)
    })
    .await
    .unwrap();
    let mut follower = stage.stream("tasks/resubscribe", json!({"id": id})).await;
    follower.next().await.unwrap();
    stage.call("tasks/cancel", json!({"id": id})).await;
    let told = waiting.await.unwrap().json();
    assert_eq!(told["result"]["kind"], "task");
    assert_eq!(told["result"]["status"]["state"], "canceled");
    let events: Vec<Value> = follower.rest().await;
    let last = &events.last().unwrap()["result"];
    assert_eq!(
        (&last["status"]["state"], &last["final"]),
        (&json!("canceled"), &json!(true))
    );
}

#[tokio::test]
async fn a_turn_that_breaks_off_is_a_failed_task() {
    let stage = Stage::with(Setting {
        parallel: 2,
        ..Setting::default()
    })
    .await;
    let id = stage.begins("hi").await;
    stage.task_in(&id, "TASK_STATE_WORKING").await;
    stage.does(Step::Panic).await;
    let task = stage.task_in(&id, "TASK_STATE_FAILED").await;
    assert_eq!(
        task["status"]["message"]["parts"][0]["text"],
        "the turn broke off"
    );
    stage.answers("still here").await;
    let told = stage
        .call("message/send", json!({"message": message_03("hi")}))
        .await;
    assert_eq!(told["result"]["parts"][0]["text"], "still here");
    assert_eq!(stage.vitals.active(), 0);
}

#[tokio::test]
async fn no_more_tasks_are_kept_than_are_worth_it() {
    let stage = Stage::new().await;
    let first = stage.begins("first").await;
    stage.answers("done").await;
    stage.task_in(&first, "TASK_STATE_COMPLETED").await;
    for _ in 0..512 {
        stage.answers("done").await;
        stage
            .call("SendMessage", json!({"message": message_10("x")}))
            .await;
    }
    let page = stage.lists("ListTasks", json!({"pageSize": 1})).await;
    assert_eq!(page["result"]["totalSize"], 512);
    let gone = stage.call("GetTask", json!({"id": first})).await;
    assert_eq!(gone["error"]["code"], -32001);
}
