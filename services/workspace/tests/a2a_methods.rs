//! Every method, in both versions, to the letter.
#![allow(clippy::unwrap_used)]

mod stage;

use candor_workspace::executor::Answer;
use serde_json::{Value, json};
use stage::{Setting, Stage, Step, message_03, message_10, plain, plain_of};

fn with_metadata() -> Answer {
    let metadata = json!({"tool_trace": [{"n": 1.0}], "usage": {"input_tokens": 3}});
    Answer {
        text: "hello".into(),
        metadata: metadata.as_object().unwrap().clone(),
    }
}

#[tokio::test]
async fn a_message_is_answered_with_a_message_in_0_3() {
    let stage = Stage::new().await;
    stage.does(Step::Answer(with_metadata())).await;
    let told = stage
        .call("message/send", json!({"message": message_03("hi")}))
        .await;
    let golden = json!({"jsonrpc": "2.0", "id": 1, "result": {
        "kind": "message",
        "role": "agent",
        "contextId": "<id 1>",
        "messageId": "<id 2>",
        "taskId": "<id 3>",
        "parts": [{"kind": "text", "text": "hello"}],
        "metadata": {"tool_trace": [{"n": 1.0}], "usage": {"input_tokens": 3}},
        "usage": {"input_tokens": 3},
    }});
    assert_eq!(plain(&told), golden);
}

#[tokio::test]
async fn a_message_is_answered_with_a_message_in_1_0() {
    let stage = Stage::new().await;
    stage.does(Step::Answer(with_metadata())).await;
    let message = json!({"messageId": "m", "contextId": "talk", "role": "ROLE_USER",
                         "parts": [{"text": "hi"}]});
    let told = stage.call("SendMessage", json!({"message": message})).await;
    let golden = json!({"jsonrpc": "2.0", "id": 1, "result": {"message": {
        "role": "ROLE_AGENT",
        "contextId": "talk",
        "messageId": "<id 1>",
        "taskId": "<id 2>",
        "parts": [{"text": "hello"}],
        "metadata": {"tool_trace": [{"n": 1.0}], "usage": {"input_tokens": 3}},
    }}});
    assert_eq!(plain(&told), golden);
}

#[tokio::test]
async fn messages_of_legacy_clients_are_understood() {
    let stage = Stage::new().await;
    for parts in [
        json!([{"text": "hi"}]),
        json!([{"type": "text", "text": "hi"}]),
        json!([{"kind": "text", "text": "hi"}]),
    ] {
        stage.answers("hello").await;
        let params = json!({"message": {"role": "user", "parts": parts}});
        let told = stage.call("message/send", params).await;
        assert_eq!(told["result"]["parts"][0]["text"], "hello", "{told}");
        let task = stage.task(told["result"]["taskId"].as_str().unwrap()).await;
        assert_eq!(task["history"][0]["parts"], json!([{"text": "hi"}]));
        assert_eq!(task["history"][0]["messageId"].as_str().unwrap().len(), 36);
    }
}

#[tokio::test]
async fn a_task_is_told_at_once_and_read_in_both_versions() {
    let stage = Stage::new().await;
    let params = json!({"message": message_03("hi"), "configuration": {"blocking": false}});
    let told = stage.call("message/send", params).await;
    let mut seen = std::collections::HashMap::new();
    let history = json!([{"kind": "message", "role": "user", "messageId": "m-1",
        "contextId": "<id 1>", "taskId": "<id 2>", "parts": [{"kind": "text", "text": "hi"}]}]);
    let submitted = json!({"jsonrpc": "2.0", "id": 1, "result": {
        "kind": "task", "id": "<id 2>", "contextId": "<id 1>", "history": history,
        "status": {"state": "submitted", "timestamp": "<time>"},
    }});
    assert_eq!(plain_of(&told, &mut seen), submitted);
    let id = told["result"]["id"].as_str().unwrap();
    stage.does(Step::Answer(with_metadata())).await;
    stage.task_in(id, "TASK_STATE_COMPLETED").await;

    let metadata = json!({"tool_trace": [{"n": 1.0}], "usage": {"input_tokens": 3}});
    let old = stage.call("tasks/get", json!({"id": id})).await;
    let golden = json!({"jsonrpc": "2.0", "id": 1, "result": {
        "kind": "task", "id": "<id 2>", "contextId": "<id 1>", "history": history,
        "status": {"state": "completed", "timestamp": "<time>"},
        "artifacts": [{"artifactId": "answer", "parts": [{"kind": "text", "text": "hello"}]}],
        "metadata": metadata,
    }});
    assert_eq!(plain_of(&old, &mut seen), golden);

    let new = stage
        .call("GetTask", json!({"id": id, "historyLength": 0}))
        .await;
    let golden = json!({"jsonrpc": "2.0", "id": 1, "result": {
        "id": "<id 2>", "contextId": "<id 1>",
        "status": {"state": "TASK_STATE_COMPLETED", "timestamp": "<time>"},
        "artifacts": [{"artifactId": "answer", "parts": [{"text": "hello"}]}],
        "metadata": metadata,
    }});
    assert_eq!(plain_of(&new, &mut seen), golden);
}

#[tokio::test]
async fn tasks_are_listed_in_both_versions() {
    let stage = Stage::new().await;
    let first = stage.begins("one").await;
    stage.answers("done").await;
    stage.task_in(&first, "TASK_STATE_COMPLETED").await;
    let second = stage.begins("two").await;
    stage.task_in(&second, "TASK_STATE_WORKING").await;

    let page = stage
        .lists("ListTasks", json!({"pageSize": 1, "historyLength": 0}))
        .await;
    let result = &page["result"];
    assert_eq!(result["tasks"][0]["id"], second.as_str());
    assert_eq!(result["totalSize"], 2);
    assert_eq!(result["pageSize"], 1);
    let token = &result["nextPageToken"];
    let params = json!({"pageSize": 1, "pageToken": token, "includeArtifacts": true});
    let page = stage.lists("tasks/list", params).await;
    let result = &page["result"];
    assert_eq!(result["tasks"][0]["id"], first.as_str());
    assert_eq!(result["tasks"][0]["kind"], "task");
    assert_eq!(
        result["tasks"][0]["artifacts"][0]["parts"][0]["kind"],
        "text"
    );
    assert_eq!(result["nextPageToken"], "");
    let done = stage
        .lists("tasks/list", json!({"status": "completed"}))
        .await;
    assert_eq!(done["result"]["totalSize"], 1);
}

#[tokio::test]
async fn a_task_is_cancelled_in_both_versions() {
    let stage = Stage::with(Setting {
        parallel: 2,
        ..Setting::default()
    })
    .await;
    for (method, state) in [
        ("tasks/cancel", "canceled"),
        ("CancelTask", "TASK_STATE_CANCELED"),
    ] {
        let id = stage.begins("long").await;
        let told = stage.call(method, json!({"id": id})).await;
        assert_eq!(told["result"]["id"], id.as_str(), "{told}");
        assert_eq!(told["result"]["status"]["state"], state);
        let again = stage.call(method, json!({"id": id})).await;
        assert_eq!(again["error"]["code"], -32002);
        assert_eq!(stage.vitals.active(), 0);
    }
}

/// The `error` of a response.
async fn error(stage: &Stage, method: &str, params: Value) -> Value {
    stage.call(method, params).await["error"].clone()
}

fn info(reason: &str) -> Value {
    json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "domain": "a2a-protocol.org", "reason": reason}])
}

#[tokio::test]
async fn what_is_not_there_is_said_in_the_protocols_words() {
    let stage = Stage::new().await;
    let not_found = json!({"code": -32001, "message": "no such task, or none any more",
                           "data": info("TASK_NOT_FOUND")});
    for method in ["tasks/get", "GetTask", "tasks/cancel", "CancelTask"] {
        assert_eq!(
            error(&stage, method, json!({"id": "x"})).await,
            not_found,
            "{method}"
        );
        let missing = error(&stage, method, json!({})).await;
        assert_eq!(missing["code"], -32602, "{method}");
    }
    for (method, code) in [
        ("tasks/pushNotificationConfig/set", -32003),
        ("tasks/pushNotificationConfig/get", -32003),
        ("tasks/pushNotificationConfig/list", -32003),
        ("tasks/pushNotificationConfig/delete", -32003),
        ("CreateTaskPushNotificationConfig", -32003),
        ("GetTaskPushNotificationConfig", -32003),
        ("ListTaskPushNotificationConfigs", -32003),
        ("DeleteTaskPushNotificationConfig", -32003),
        ("agent/getAuthenticatedExtendedCard", -32007),
        ("GetExtendedAgentCard", -32004),
    ] {
        let told = error(&stage, method, json!({"id": "x"})).await;
        assert_eq!(told["code"], code, "{method}");
    }
    let unknown = error(&stage, "tasks/forget", json!({})).await;
    assert_eq!(
        unknown,
        json!({"code": -32601, "message": "no such method: \"tasks/forget\""})
    );
}

#[tokio::test]
async fn a_message_goes_to_no_task_that_ended_or_runs_or_is_unknown() {
    let stage = Stage::new().await;
    let message = |task: &str, context: &str| {
        let mut message = message_10("more");
        message["taskId"] = json!(task);
        message["contextId"] = json!(context);
        json!({"message": message})
    };
    let unknown = error(&stage, "SendMessage", message("x", "")).await;
    assert_eq!(unknown["code"], -32001);
    let id = stage.begins("one").await;
    let runs = error(&stage, "SendMessage", message(&id, "")).await;
    assert_eq!(runs["code"], -32004);
    stage.answers("done").await;
    stage.task_in(&id, "TASK_STATE_COMPLETED").await;
    let ended = error(&stage, "SendMessage", message(&id, "")).await;
    assert_eq!(ended["code"], -32004);
    assert!(
        ended["message"].as_str().unwrap().contains("has ended"),
        "{ended}"
    );
    let other = error(&stage, "SendMessage", message(&id, "another")).await;
    assert_eq!(other["code"], -32602);
}

#[tokio::test]
async fn a_message_that_is_none_is_refused_in_both_versions() {
    let stage = Stage::new().await;
    let file = json!({"message": {"role": "user", "messageId": "m",
        "parts": [{"kind": "file", "file": {"uri": "http://x"}}]}});
    let told = error(&stage, "message/send", file).await;
    assert_eq!(told["code"], -32005);
    for (method, params) in [
        ("message/send", json!({})),
        ("SendMessage", json!({})),
        (
            "message/send",
            json!({"message": {"role": "user", "parts": []}}),
        ),
        ("SendMessage", json!({"message": message_10(" ")})),
    ] {
        assert_eq!(
            error(&stage, method, params).await["code"],
            -32602,
            "{method}"
        );
    }
    assert_eq!(stage.vitals.active(), 0);
}
