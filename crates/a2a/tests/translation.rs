//! Golden tables: what one version says and the other answers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use candor_a2a::Method::{self, *};
use candor_a2a::{ErrorKind, Version, translate};
use serde_json::value::RawValue;
use serde_json::{Value, json};

const UP: (Version, Version) = (Version::V03, Version::V10);
const DOWN: (Version, Version) = (Version::V10, Version::V03);

fn raw(value: &Value) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).unwrap()
}

fn params(method: Method, way: (Version, Version), value: &Value) -> Value {
    let value = raw(value);
    let told = translate::params(method, way, Some(&value));
    serde_json::from_str(&told.unwrap()).unwrap()
}

fn result(method: Method, way: (Version, Version), value: &Value) -> Value {
    let value = raw(value);
    let told = translate::result(method, way, &value);
    serde_json::from_str(&told.unwrap()).unwrap()
}

#[test]
fn parts_say_the_same_in_both_versions() {
    let rows = [
        (
            json!({"kind": "text", "text": "hi", "metadata": {"a": 1}}),
            json!({"text": "hi", "metadata": {"a": 1}}),
        ),
        (
            json!({"kind": "text", "text": "# hi", "mediaType": "text/markdown", "x": 1}),
            json!({"text": "# hi", "mediaType": "text/markdown", "x": 1}),
        ),
        (
            json!({"kind": "file", "file": {"bytes": "aGk=", "mimeType": "a/b", "name": "n"}}),
            json!({"raw": "aGk=", "mediaType": "a/b", "filename": "n"}),
        ),
        (
            json!({"kind": "file", "file": {"uri": "https://x"}, "metadata": {}}),
            json!({"url": "https://x", "metadata": {}}),
        ),
        (
            json!({"kind": "file", "file": {"uri": "https://x", "size": 7}}),
            json!({"url": "https://x", "file": {"size": 7}}),
        ),
        (
            json!({"kind": "file", "file": {"bytes": "aGk=", "uri": "https://x"}}),
            json!({"raw": "aGk=", "file": {"uri": "https://x"}}),
        ),
        (
            json!({"kind": "data", "data": {"a": [1.5, null]}}),
            json!({"data": {"a": [1.5, null]}}),
        ),
        (
            json!({"kind": "data", "data": {"value": [1]}, "metadata": {"data_part_compat": true}}),
            json!({"data": [1]}),
        ),
        (
            json!({"kind": "data", "data": {"value": null},
            "metadata": {"data_part_compat": true, "k": 1}}),
            json!({"data": null, "metadata": {"k": 1}}),
        ),
    ];
    for (old, new) in rows {
        let wrap = |part: &Value| json!({"messageId": "m", "parts": [part]});
        let mut old_message = wrap(&old);
        old_message["kind"] = json!("message");
        let new_message = json!({ "message": wrap(&new) });
        assert_eq!(result(SendMessage, UP, &old_message), new_message);
        assert_eq!(result(SendMessage, DOWN, &new_message), old_message);
    }
}

#[test]
fn what_older_agents_leave_out_is_found_by_its_members() {
    let rows = [
        (json!({"type": "text", "text": "hi"}), json!({"text": "hi"})),
        (json!({"text": "hi"}), json!({"text": "hi"})),
        (
            json!({"type": "file", "file": {"uri": "u"}}),
            json!({"url": "u"}),
        ),
        (
            json!({"data": {"type": "text"}}),
            json!({"data": {"type": "text"}}),
        ),
        (
            json!({"kind": "text", "text": "a", "url": "b", "data": 1}),
            json!({"text": "a"}),
        ),
        (
            json!({"kind": "video", "src": "x"}),
            json!({"kind": "video", "src": "x"}),
        ),
        (json!({"raw": "aGk="}), json!({"raw": "aGk="})),
        (json!("text"), json!("text")),
    ];
    for (old, new) in rows {
        let told = result(SendMessage, UP, &json!({"role": "agent", "parts": [old]}));
        assert_eq!(
            told,
            json!({"message": {"role": "ROLE_AGENT", "parts": [new]}})
        );
    }
    let task = json!({"id": "t", "status": {"state": "cancelled"}});
    let told = result(SendMessage, UP, &task);
    assert_eq!(told["task"]["status"]["state"], "TASK_STATE_CANCELED");
    let update = json!({"taskId": "t", "status": {"state": "odd"}, "final": false});
    let told = result(SendStreamingMessage, UP, &update);
    assert_eq!(
        told,
        json!({"statusUpdate": {"taskId": "t", "status": {"state": "odd"}}})
    );
    let update = json!({"taskId": "t", "artifact": {"artifactId": "a"}, "append": null});
    let told = result(SendStreamingMessage, UP, &update);
    assert_eq!(told["artifactUpdate"]["artifact"]["artifactId"], "a");
}

#[test]
fn states_and_roles_have_both_names_and_numbers() {
    let states = [
        ("unknown", "TASK_STATE_UNSPECIFIED", 0, false),
        ("submitted", "TASK_STATE_SUBMITTED", 1, false),
        ("working", "TASK_STATE_WORKING", 2, false),
        ("completed", "TASK_STATE_COMPLETED", 3, true),
        ("failed", "TASK_STATE_FAILED", 4, true),
        ("canceled", "TASK_STATE_CANCELED", 5, true),
        ("input-required", "TASK_STATE_INPUT_REQUIRED", 6, false),
        ("rejected", "TASK_STATE_REJECTED", 7, true),
        ("auth-required", "TASK_STATE_AUTH_REQUIRED", 8, false),
    ];
    for (old, new, number, is_final) in states {
        let event = json!({"kind": "status-update", "taskId": "t", "contextId": "c",
            "status": {"state": old}, "final": is_final, "metadata": {"k": 1}});
        let told = json!({"statusUpdate": {"taskId": "t", "contextId": "c",
            "status": {"state": new}, "metadata": {"k": 1}}});
        assert_eq!(result(SubscribeToTask, UP, &event), told);
        assert_eq!(result(SubscribeToTask, DOWN, &told), event);
        let mut numbered = told.clone();
        numbered["statusUpdate"]["status"]["state"] = json!(number);
        assert_eq!(result(SubscribeToTask, DOWN, &numbered), event);
    }
    for (number, new, old) in [(1, "ROLE_USER", "user"), (2, "ROLE_AGENT", "agent")] {
        for role in [json!(new), json!(number)] {
            let told = result(SendMessage, DOWN, &json!({"message": {"role": role}}));
            assert_eq!(told, json!({"kind": "message", "role": old, "parts": []}));
        }
    }
    let odd = json!({"message": {"role": "ROLE_UNSPECIFIED", "parts": []}});
    assert_eq!(result(SendMessage, DOWN, &odd)["role"], "ROLE_UNSPECIFIED");
}

fn old_task() -> Value {
    json!({
        "kind": "task", "id": "t", "contextId": "c", "metadata": {"m": 1}, "vendor": [1],
        "status": {"state": "completed", "timestamp": "2026-01-02T03:04:05Z",
            "message": {"kind": "message", "messageId": "1", "role": "agent",
                "parts": [{"kind": "text", "text": "done"}]}},
        "artifacts": [{"artifactId": "a", "name": "n", "extensions": ["e"],
            "parts": [{"kind": "file", "file": {"uri": "u", "mimeType": "a/b"}}]}],
        "history": [{"kind": "message", "messageId": "2", "role": "user", "contextId": "c",
            "taskId": "t", "referenceTaskIds": ["r"], "parts": [{"kind": "text", "text": "go"}]}],
    })
}

fn new_task() -> Value {
    json!({
        "id": "t", "contextId": "c", "metadata": {"m": 1}, "vendor": [1],
        "status": {"state": "TASK_STATE_COMPLETED", "timestamp": "2026-01-02T03:04:05Z",
            "message": {"messageId": "1", "role": "ROLE_AGENT", "parts": [{"text": "done"}]}},
        "artifacts": [{"artifactId": "a", "name": "n", "extensions": ["e"],
            "parts": [{"url": "u", "mediaType": "a/b"}]}],
        "history": [{"messageId": "2", "role": "ROLE_USER", "contextId": "c", "taskId": "t",
            "referenceTaskIds": ["r"], "parts": [{"text": "go"}]}],
    })
}

#[test]
fn results_say_the_same_in_both_versions() {
    let hook = json!({"taskId": "t", "pushNotificationConfig": {"id": "i", "url": "u",
        "token": "k", "authentication": {"schemes": ["Bearer"], "credentials": "c"}}});
    let flat = json!({"taskId": "t", "id": "i", "url": "u", "token": "k",
        "authentication": {"scheme": "Bearer", "credentials": "c"}});
    let artifact = json!({"kind": "artifact-update", "taskId": "t", "contextId": "c",
        "append": true, "lastChunk": false,
        "artifact": {"artifactId": "a", "parts": [{"kind": "text", "text": "x"}]}});
    let told = json!({"artifactUpdate": {"taskId": "t", "contextId": "c",
        "append": true, "lastChunk": false,
        "artifact": {"artifactId": "a", "parts": [{"text": "x"}]}}});
    let rows = [
        (GetTask, old_task(), new_task()),
        (CancelTask, old_task(), new_task()),
        (SendMessage, old_task(), json!({ "task": new_task() })),
        (
            SendStreamingMessage,
            old_task(),
            json!({ "task": new_task() }),
        ),
        (SubscribeToTask, artifact, told),
        (
            ListTasks,
            json!({"tasks": [old_task()], "nextPageToken": "", "totalSize": 1, "pageSize": 50}),
            json!({"tasks": [new_task()], "nextPageToken": "", "totalSize": 1, "pageSize": 50}),
        ),
        (CreatePushConfig, hook.clone(), flat.clone()),
        (GetPushConfig, hook.clone(), flat.clone()),
        (ListPushConfigs, json!([hook]), json!({ "configs": [flat] })),
        (ListPushConfigs, json!([]), json!({ "configs": [] })),
        (DeletePushConfig, json!(null), json!({})),
        (GetExtendedCard, json!({"name": "n"}), json!({"name": "n"})),
    ];
    for (method, old, new) in rows {
        assert_eq!(result(method, UP, &old), new, "{method:?}");
        assert_eq!(result(method, DOWN, &new), old, "{method:?}");
    }
}

#[test]
fn params_say_the_same_in_both_versions() {
    let old = json!({"kind": "message", "messageId": "m", "role": "user",
        "parts": [{"kind": "text", "text": "hi"}]});
    let new = json!({"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hi"}]});
    let hook = json!({"url": "u", "authentication": {"schemes": ["Basic"]}});
    let flat = json!({"url": "u", "authentication": {"scheme": "Basic"}});
    let rows = [
        (
            SendMessage,
            json!({"message": old, "metadata": {"k": 1}, "configuration": {"blocking": true}}),
            json!({"message": new, "metadata": {"k": 1}, "configuration": {"returnImmediately": false}}),
        ),
        (
            SendMessage,
            json!({"message": old, "configuration": {"blocking": false, "historyLength": 2,
             "acceptedOutputModes": ["a/b"], "pushNotificationConfig": hook}}),
            json!({"message": new, "configuration": {"returnImmediately": true, "historyLength": 2,
             "acceptedOutputModes": ["a/b"], "taskPushNotificationConfig": flat}}),
        ),
        (
            SendStreamingMessage,
            json!({"message": old, "x": 1}),
            json!({"message": new, "x": 1}),
        ),
        (
            GetTask,
            json!({"id": "t", "historyLength": 0}),
            json!({"id": "t", "historyLength": 0}),
        ),
        (
            CancelTask,
            json!({"id": "t", "metadata": {}}),
            json!({"id": "t", "metadata": {}}),
        ),
        (SubscribeToTask, json!({"id": "t"}), json!({"id": "t"})),
        (
            ListTasks,
            json!({"contextId": "c", "status": "working", "lastUpdatedAfter": 1_500, "pageSize": 3}),
            json!({"contextId": "c", "status": "TASK_STATE_WORKING", "pageSize": 3,
             "statusTimestampAfter": "1970-01-01T00:00:01.500Z"}),
        ),
        (
            CreatePushConfig,
            json!({"taskId": "t", "pushNotificationConfig": hook}),
            json!({"taskId": "t", "url": "u", "authentication": {"scheme": "Basic"}}),
        ),
        (
            GetPushConfig,
            json!({"id": "t", "pushNotificationConfigId": "p"}),
            json!({"taskId": "t", "id": "p"}),
        ),
        (
            DeletePushConfig,
            json!({"id": "t", "pushNotificationConfigId": "p"}),
            json!({"taskId": "t", "id": "p"}),
        ),
        (ListPushConfigs, json!({"id": "t"}), json!({"taskId": "t"})),
        (GetExtendedCard, json!({}), json!({})),
    ];
    for (method, old, new) in rows {
        assert_eq!(params(method, UP, &old), new, "{method:?}");
        assert_eq!(params(method, DOWN, &new), old, "{method:?}");
    }
}

#[test]
fn what_only_one_version_says_is_told_as_its_meaning() {
    let hi = json!({"messageId": "m"});
    let told = params(SendMessage, DOWN, &json!({"tenant": "w", "message": hi}));
    assert_eq!(
        told["configuration"],
        json!({"blocking": true}),
        "1.0 waits by default"
    );
    assert_eq!(told.get("tenant"), None);
    let told = params(SendStreamingMessage, DOWN, &json!({"message": hi}));
    assert_eq!(told.get("configuration"), None, "a stream does not wait");
    let told = params(SendMessage, UP, &json!({"message": hi}));
    assert_eq!(told.get("configuration"), None);
    let told = params(GetPushConfig, UP, &json!({"id": "t"}));
    assert_eq!(
        told,
        json!({"taskId": "t", "id": "t"}),
        "the SDKs' id of a webhook without one"
    );
    let many = json!({"taskId": "t", "pushNotificationConfig":
        {"url": "u", "authentication": {"schemes": ["Bearer", "Basic"]}}});
    let told = params(CreatePushConfig, UP, &many);
    assert_eq!(told["authentication"], json!({"scheme": "Bearer"}));
}

#[test]
fn names_of_the_proto_file_are_read_as_those_of_json() {
    let told = params(
        SendMessage,
        DOWN,
        &json!({
            "message": {"message_id": "m", "context_id": "c", "task_id": "t", "reference_task_ids": [],
                "parts": [{"raw": "-_8", "media_type": "a/b"}]},
            "configuration": {"return_immediately": true, "history_length": 1,
                "task_push_notification_config": {"url": "u"}},
        }),
    );
    let expected = json!({
        "message": {"kind": "message", "messageId": "m", "contextId": "c", "taskId": "t",
            "referenceTaskIds": [],
            "parts": [{"kind": "file", "file": {"bytes": "+/8=", "mimeType": "a/b"}}]},
        "configuration": {"blocking": false, "historyLength": 1,
            "pushNotificationConfig": {"url": "u"}},
    });
    assert_eq!(told, expected);
    let event = json!({"status_update": {"task_id": "t", "status": {"state": 2}}});
    let expected = json!({"kind": "status-update", "taskId": "t", "contextId": "",
        "status": {"state": "working"}, "final": false});
    assert_eq!(result(SubscribeToTask, DOWN, &event), expected);
}

#[test]
fn times_become_those_of_protojson() {
    let rows = [
        ("2026-01-02T03:04:05Z", Some("2026-01-02T03:04:05Z")),
        (
            "2026-01-02T03:04:05.123456789Z",
            Some("2026-01-02T03:04:05.123456789Z"),
        ),
        ("2026-01-02T03:04:05+00:00", Some("2026-01-02T03:04:05Z")),
        (
            "2026-01-02T03:04:05.25+02:00",
            Some("2026-01-02T01:04:05.250Z"),
        ),
        (
            "2026-01-02T03:04:05.123456",
            Some("2026-01-02T03:04:05.123456Z"),
        ),
        ("2026-01-02 03:04:05", Some("2026-01-02T03:04:05Z")),
        ("yesterday", None),
        ("", None),
    ];
    for (old, new) in rows {
        let task = json!({"id": "t", "status": {"state": "working", "timestamp": old}});
        let told = result(GetTask, UP, &task);
        assert_eq!(
            told["status"].get("timestamp"),
            new.map(Value::from).as_ref(),
            "{old}"
        );
    }
}

#[test]
fn what_cannot_be_told_is_refused() {
    for way in [UP, DOWN] {
        for wrong in [
            json!({}),
            json!({"message": "hi"}),
            json!({"message": null}),
        ] {
            let error = translate::params(SendMessage, way, Some(&raw(&wrong))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidParams, "{wrong}");
        }
        assert!(translate::params(SendMessage, way, None).is_err());
        assert_eq!(translate::params(GetExtendedCard, way, None).unwrap(), "{}");
        for wrong in [
            json!([]),
            json!(null),
            json!("ok"),
            json!({}),
            json!({"task": 1}),
        ] {
            let error = translate::result(SendMessage, way, &raw(&wrong)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidAgentResponse, "{wrong}");
        }
    }
}

#[test]
fn between_equal_versions_nothing_is_touched() {
    let odd = RawValue::from_string(r#"{ "a" : 1.0e2, "a":2 }"#.to_owned()).unwrap();
    for version in Version::ALL {
        for method in Method::ALL {
            let same = (version, version);
            assert_eq!(
                translate::params(method, same, Some(&odd)).unwrap(),
                odd.get()
            );
            assert_eq!(translate::result(method, same, &odd).unwrap(), odd.get());
        }
    }
}

#[test]
fn errors_are_typed_in_1_0_and_plain_in_0_3() {
    let info = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "TASK_NOT_FOUND", "domain": "a2a-protocol.org"});
    let value = |value: Value| json!({"@type": "type.googleapis.com/google.protobuf.Value", "value": value});
    let error = |code: i64, data: Option<Value>| {
        let mut error = json!({"code": code, "message": "m"});
        if let Some(data) = data {
            error["data"] = data;
        }
        error
    };
    let rows = [
        (
            error(-32001, Some(json!({"id": 7}))),
            error(-32001, Some(json!([info, value(json!({"id": 7}))]))),
        ),
        (
            error(-32603, Some(json!("trace"))),
            error(-32603, Some(json!([value(json!("trace"))]))),
        ),
        (error(-32602, None), error(-32602, None)),
        (error(5, Some(json!([info]))), error(5, Some(json!([info])))),
    ];
    for (old, new) in rows {
        assert_eq!(translate::error(UP, old.clone()), new);
        assert_eq!(translate::error(DOWN, new), old);
    }
    let bare = translate::error(UP, error(-32001, None));
    assert_eq!(bare, error(-32001, Some(json!([info]))));
    assert_eq!(
        translate::error(DOWN, bare.clone()),
        bare,
        "0.3 takes any data"
    );
    assert_eq!(translate::error(UP, json!("no")), json!("no"));
}
