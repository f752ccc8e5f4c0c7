//! The messages of `lf.a2a.v1` and their JSON.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use candor_a2a::grpc::{self, Call, Wire};
use candor_a2a::{ErrorKind, Method, Version, translate};
use candor_proto::a2a::v1;
use serde_json::value::RawValue;
use serde_json::{Value, json};

fn reads<M: Wire>(json: &Value) -> M {
    grpc::result(&json.to_string()).unwrap()
}

/// Reads JSON as the message, and the message as JSON again.
fn round<M: Wire>(json: &Value) -> Value {
    grpc::to_json(&reads::<M>(json)).unwrap()
}

fn task() -> Value {
    json!({
        "id": "t", "contextId": "c",
        "status": {"state": "TASK_STATE_WORKING", "timestamp": "2026-01-02T03:04:05.678Z",
            "message": {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "on it"}]}},
        "artifacts": [{"artifactId": "a", "name": "n", "parts": [
            {"raw": "aGk/Pz8+", "filename": "f", "mediaType": "image/png"},
            {"url": "https://x/y"},
            {"data": {"n": 1, "f": 1.5, "big": 1e300, "b": true, "z": null, "l": [1, "x", {}]},
             "metadata": {"k": -7}},
            {"data": null}, {"data": [1]}, {"data": "s"}, {"data": 0.25}, {"text": ""},
        ]}],
        "history": [{"messageId": "h", "role": "ROLE_USER", "taskId": "t", "contextId": "c",
            "parts": [{"text": "go"}], "extensions": ["urn:x"], "referenceTaskIds": ["o"],
            "metadata": {"a": {"b": []}}}],
        "metadata": {"deep": {"er": [null]}},
    })
}

#[test]
fn every_result_is_its_message_and_back() {
    let status = json!({"taskId": "t", "contextId": "c", "status": {"state": "TASK_STATE_FAILED"}});
    let artifact = json!({"taskId": "t", "contextId": "c", "append": true, "lastChunk": true,
        "artifact": {"artifactId": "a", "parts": [{"text": "x"}]}, "metadata": {"i": 3}});
    assert_eq!(round::<v1::Task>(&task()), task());
    for event in [
        json!({ "task": task() }),
        json!({"message": {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "hi"}]}}),
        json!({ "statusUpdate": status }),
        json!({ "artifactUpdate": artifact }),
    ] {
        assert_eq!(round::<v1::StreamResponse>(&event), event);
    }
    let sent = json!({ "task": task() });
    assert_eq!(round::<v1::SendMessageResponse>(&sent), sent);
    let list = json!({"tasks": [task()], "nextPageToken": "2", "pageSize": 1, "totalSize": 7});
    assert_eq!(round::<v1::ListTasksResponse>(&list), list);
    let hooks = json!({"configs": [{"id": "i", "taskId": "t", "url": "https://h", "token": "k",
        "authentication": {"scheme": "Bearer", "credentials": "c"}}]});
    assert_eq!(
        round::<v1::ListTaskPushNotificationConfigsResponse>(&hooks),
        hooks
    );
}

#[test]
fn what_protojson_allows_is_read() {
    let task: v1::Task = reads(&json!({
        "id": "t", "context_id": "c", "new_in_1_7": {"x": 1}, "history": null,
        "status": {"state": 3, "timestamp": "2026-01-02T04:04:05+01:00", "message": null},
        "artifacts": [{"artifactId": "a", "parts": [{"raw": "-_8", "media_type": "x/y"}]}],
    }));
    assert_eq!(task.context_id, "c");
    let odd: v1::TaskStatus = reads::<v1::Task>(&json!({"status": {"state": "TASK_STATE_NEW"}}))
        .status
        .unwrap();
    assert_eq!(odd.state(), v1::TaskState::Unspecified);
    let status = task.status.unwrap();
    assert_eq!(status.state(), v1::TaskState::Completed);
    assert_eq!(status.timestamp.unwrap().seconds, 1_767_323_045);
    let part = &task.artifacts[0].parts[0];
    assert_eq!(part.media_type, "x/y");
    let raw = v1::part::Content::Raw(vec![0xfb, 0xff].into());
    assert_eq!(part.content, Some(raw));
}

#[test]
fn what_is_no_such_message_is_the_agents_fault() {
    let deep = format!("{}{}", "[".repeat(80), "]".repeat(80));
    for wrong in [
        "",
        "[]",
        "1",
        "{} {}",
        r#"{"id":7}"#,
        r#"{"status":{"timestamp":"soon"}}"#,
        r#"{"history":{}}"#,
        r#"{"artifacts":[{"parts":[{"raw":"%"}]}]}"#,
        r#"{"artifacts":[{"parts":[{"text":"a","url":"b"}]}]}"#,
        &format!(r#"{{"artifacts":[{{"parts":[{{"data":{deep}}}]}}]}}"#),
    ] {
        let error = grpc::result::<v1::Task>(wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidAgentResponse, "{wrong}");
    }
}

#[test]
fn a_request_is_params_and_a_tenant_apart() {
    let mut request: v1::SendMessageRequest = reads(&json!({
        "tenant": "w", "metadata": {"n": 2},
        "message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hi"}]},
        "configuration": {"historyLength": 0, "returnImmediately": true,
            "acceptedOutputModes": ["text/plain"],
            "taskPushNotificationConfig": {"tenant": "w", "url": "https://h"}},
    }));
    request.message.as_mut().unwrap().task_id = "t".to_owned();
    let Call { tenant, params } = grpc::call(request).unwrap();
    assert_eq!(tenant, "w");
    let params: Value = serde_json::from_str(&params).unwrap();
    let expected = json!({
        "metadata": {"n": 2},
        "message": {"messageId": "m", "role": "ROLE_USER", "taskId": "t",
            "parts": [{"text": "hi"}]},
        "configuration": {"historyLength": 0, "returnImmediately": true,
            "acceptedOutputModes": ["text/plain"],
            "taskPushNotificationConfig": {"url": "https://h"}},
    });
    assert_eq!(params, expected);
}

#[test]
fn every_request_has_its_params() {
    let told = |call: Call| {
        assert_eq!(call.tenant, "w");
        call.params
    };
    let tenant = || "w".to_owned();
    let id = || "i".to_owned();
    let task_id = || "t".to_owned();
    let list = v1::ListTasksRequest {
        tenant: tenant(),
        status: v1::TaskState::InputRequired.into(),
        page_size: Some(5),
        include_artifacts: Some(false),
        status_timestamp_after: Some(prost_types()),
        ..Default::default()
    };
    let rows = [
        (
            told(
                grpc::call(v1::GetTaskRequest {
                    tenant: tenant(),
                    id: id(),
                    history_length: Some(0),
                })
                .unwrap(),
            ),
            json!({"id": "i", "historyLength": 0}),
        ),
        (
            told(
                grpc::call(v1::GetTaskRequest {
                    tenant: tenant(),
                    id: id(),
                    history_length: None,
                })
                .unwrap(),
            ),
            json!({"id": "i"}),
        ),
        (
            told(grpc::call(list).unwrap()),
            json!({"status": "TASK_STATE_INPUT_REQUIRED", "pageSize": 5, "includeArtifacts": false,
                "statusTimestampAfter": "1970-01-01T00:00:01.500Z"}),
        ),
        (
            told(
                grpc::call(v1::CancelTaskRequest {
                    tenant: tenant(),
                    id: id(),
                    metadata: None,
                })
                .unwrap(),
            ),
            json!({"id": "i"}),
        ),
        (
            told(
                grpc::call(v1::SubscribeToTaskRequest {
                    tenant: tenant(),
                    id: id(),
                })
                .unwrap(),
            ),
            json!({"id": "i"}),
        ),
        (
            told(
                grpc::call(v1::TaskPushNotificationConfig {
                    tenant: tenant(),
                    id: id(),
                    task_id: task_id(),
                    url: "u".to_owned(),
                    ..Default::default()
                })
                .unwrap(),
            ),
            json!({"id": "i", "taskId": "t", "url": "u"}),
        ),
        (
            told(
                grpc::call(v1::GetTaskPushNotificationConfigRequest {
                    tenant: tenant(),
                    task_id: task_id(),
                    id: id(),
                })
                .unwrap(),
            ),
            json!({"taskId": "t", "id": "i"}),
        ),
        (
            told(
                grpc::call(v1::DeleteTaskPushNotificationConfigRequest {
                    tenant: tenant(),
                    task_id: task_id(),
                    id: id(),
                })
                .unwrap(),
            ),
            json!({"taskId": "t", "id": "i"}),
        ),
        (
            told(
                grpc::call(v1::ListTaskPushNotificationConfigsRequest {
                    tenant: tenant(),
                    task_id: task_id(),
                    page_size: 3,
                    page_token: "p".to_owned(),
                })
                .unwrap(),
            ),
            json!({"taskId": "t", "pageSize": 3, "pageToken": "p"}),
        ),
        (
            told(grpc::call(v1::GetExtendedAgentCardRequest { tenant: tenant() }).unwrap()),
            json!({}),
        ),
    ];
    for (params, expected) in rows {
        assert_eq!(serde_json::from_str::<Value>(&params).unwrap(), expected);
    }
}

fn prost_types() -> prost_reflect::prost_types::Timestamp {
    prost_reflect::prost_types::Timestamp {
        seconds: 1,
        nanos: 500_000_000,
    }
}

#[test]
fn an_agent_of_0_3_answers_grpc() {
    let result = json!({"kind": "status-update", "taskId": "t", "contextId": "c", "final": true,
        "status": {"state": "input-required", "timestamp": "2026-01-02T03:04:05.5"}});
    let raw = RawValue::from_string(result.to_string()).unwrap();
    let versions = (Version::V03, Version::V10);
    let told = translate::result(Method::SendStreamingMessage, versions, &raw).unwrap();
    let event: v1::StreamResponse = grpc::result(&told).unwrap();
    let Some(v1::stream_response::Payload::StatusUpdate(update)) = event.payload else {
        panic!("{event:?}");
    };
    let status = update.status.unwrap();
    assert_eq!(status.state(), v1::TaskState::InputRequired);
    assert_eq!(status.timestamp.unwrap().nanos, 500_000_000);
}
