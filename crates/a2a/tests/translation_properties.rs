//! There and back again, over messages that are made up.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use candor_a2a::{Method, Version, grpc, translate};
use candor_proto::a2a::v1;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

const UP: (Version, Version) = (Version::V03, Version::V10);
const DOWN: (Version, Version) = (Version::V10, Version::V03);

fn raw(value: &Value) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).unwrap()
}

fn result(method: Method, way: (Version, Version), value: &Value) -> Value {
    serde_json::from_str(&translate::result(method, way, &raw(value)).unwrap()).unwrap()
}

fn params(method: Method, way: (Version, Version), value: &Value) -> Value {
    serde_json::from_str(&translate::params(method, way, Some(&raw(value))).unwrap()).unwrap()
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("finite", |f| f.is_finite())
            .prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            btree_map("[a-z]{1,4}", inner, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn struct_value() -> impl Strategy<Value = Value> {
    btree_map("[a-z]{1,5}", json_value(), 1..3)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

/// An object of these members, without those that are absent.
fn object(members: Vec<(&str, Option<Value>)>) -> Value {
    let present = members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(present.collect::<Map<String, Value>>())
}

fn text() -> impl Strategy<Value = Value> {
    ".{0,8}".prop_map(Value::from)
}

fn base64() -> impl Strategy<Value = Value> {
    prop_oneof![Just(""), Just("aGk="), Just("+/8="), Just("AAAA")].prop_map(Value::from)
}

/// A part of 1.0.
fn new_part() -> impl Strategy<Value = Value> {
    let content = prop_oneof![
        text().prop_map(|value| ("text", value)),
        base64().prop_map(|value| ("raw", value)),
        text().prop_map(|value| ("url", value)),
        json_value().prop_map(|value| ("data", value)),
    ];
    let rest = (
        option::of(struct_value()),
        option::of(text()),
        option::of(text()),
    );
    (content, rest).prop_map(|((name, content), (metadata, filename, media))| {
        object(vec![
            (name, Some(content)),
            ("metadata", metadata),
            ("filename", filename),
            ("mediaType", media),
        ])
    })
}

/// A part of 0.3, with members that nobody knows.
fn old_part() -> impl Strategy<Value = Value> {
    let file = (
        option::of(text()),
        option::of(text()),
        option::of(json_value()),
        any::<bool>(),
    );
    let file = (file, base64()).prop_map(|((mime, name, odd, by_bytes), bytes)| {
        let odd = odd.filter(|odd| !odd.is_null());
        let source = if by_bytes { "bytes" } else { "uri" };
        let file = vec![
            (source, Some(bytes)),
            ("mimeType", mime),
            ("name", name),
            ("odd", odd),
        ];
        ("file", object(file))
    });
    let content = prop_oneof![
        text().prop_map(|value| ("text", value)),
        struct_value().prop_map(|value| ("data", value)),
        file,
    ];
    let rest = (option::of(struct_value()), option::of(json_value()));
    (content, rest).prop_map(|((kind, content), (metadata, odd))| {
        object(vec![
            ("kind", Some(json!(kind))),
            (kind, Some(content)),
            ("metadata", metadata),
            ("vendor", odd),
        ])
    })
}

/// The words of one version for what both versions say.
#[derive(Clone, Copy)]
struct Words {
    kinds: bool,
    roles: &'static [&'static str],
    states: &'static [&'static str],
}

const OLD: Words = Words {
    kinds: true,
    roles: &["user", "agent"],
    states: &[
        "unknown",
        "working",
        "completed",
        "input-required",
        "auth-required",
        "rejected",
    ],
};
const NEW: Words = Words {
    kinds: false,
    roles: &["ROLE_USER", "ROLE_AGENT"],
    states: &[
        "TASK_STATE_UNSPECIFIED",
        "TASK_STATE_SUBMITTED",
        "TASK_STATE_FAILED",
        "TASK_STATE_CANCELED",
        "TASK_STATE_INPUT_REQUIRED",
    ],
};

impl Words {
    fn kind(self, kind: &str) -> Option<Value> {
        self.kinds.then(|| json!(kind))
    }

    fn part(self) -> BoxedStrategy<Value> {
        if self.kinds {
            old_part().boxed()
        } else {
            new_part().boxed()
        }
    }

    fn message(self) -> BoxedStrategy<Value> {
        let ids = (text(), option::of(text()), option::of(text()));
        let role = proptest::sample::select(self.roles);
        let rest = (option::of(struct_value()), option::of(vec(text(), 0..3)));
        (ids, role, vec(self.part(), 0..3), rest)
            .prop_map(
                move |((id, context, task), role, parts, (metadata, extensions))| {
                    object(vec![
                        ("kind", self.kind("message")),
                        ("messageId", Some(id)),
                        ("contextId", context),
                        ("taskId", task),
                        ("role", Some(json!(role))),
                        ("parts", Some(Value::from(parts))),
                        ("metadata", metadata),
                        ("extensions", extensions.map(Value::from)),
                    ])
                },
            )
            .boxed()
    }

    fn status(self) -> BoxedStrategy<Value> {
        let time = option::of(Just(json!("2026-01-02T03:04:05.678Z")));
        let state = proptest::sample::select(self.states);
        (state, option::of(self.message()), time)
            .prop_map(|(state, message, time)| {
                object(vec![
                    ("state", Some(json!(state))),
                    ("message", message),
                    ("timestamp", time),
                ])
            })
            .boxed()
    }

    fn artifact(self) -> BoxedStrategy<Value> {
        (text(), option::of(text()), vec(self.part(), 0..3))
            .prop_map(|(id, name, parts)| {
                object(vec![
                    ("artifactId", Some(id)),
                    ("name", name),
                    ("parts", Some(Value::from(parts))),
                ])
            })
            .boxed()
    }

    fn task(self) -> BoxedStrategy<Value> {
        let lists = (
            vec(self.artifact(), 0..2),
            option::of(vec(self.message(), 0..3)),
        );
        (
            (text(), text()),
            self.status(),
            lists,
            option::of(struct_value()),
        )
            .prop_map(
                move |((id, context), status, (artifacts, history), metadata)| {
                    object(vec![
                        ("kind", self.kind("task")),
                        ("id", Some(id)),
                        ("contextId", Some(context)),
                        ("status", Some(status)),
                        ("artifacts", Some(Value::from(artifacts))),
                        ("history", history.map(Value::from)),
                        ("metadata", metadata),
                    ])
                },
            )
            .boxed()
    }
}

/// An item of a stream of 1.0.
fn new_event() -> impl Strategy<Value = Value> {
    let update = (text(), text(), NEW.status()).prop_map(
        |(task, context, status)| json!({"taskId": task, "contextId": context, "status": status}),
    );
    let chunk = (text(), NEW.artifact(), any::<bool>()).prop_map(|(task, artifact, append)| {
        json!({"taskId": task, "contextId": "c", "artifact": artifact, "append": append})
    });
    prop_oneof![
        NEW.task().prop_map(|task| json!({ "task": task })),
        NEW.message()
            .prop_map(|message| json!({ "message": message })),
        update.prop_map(|update| json!({ "statusUpdate": update })),
        chunk.prop_map(|chunk| json!({ "artifactUpdate": chunk })),
    ]
}

proptest! {
    #[test]
    fn what_1_0_says_comes_back_from_0_3(event in new_event()) {
        let method = Method::SendStreamingMessage;
        let told = result(method, DOWN, &event);
        prop_assert!(told["kind"].is_string());
        prop_assert_eq!(result(method, UP, &told), event);
    }

    #[test]
    fn what_0_3_says_comes_back_from_1_0(task in OLD.task()) {
        let told = result(Method::GetTask, UP, &task);
        prop_assert_eq!(told.get("kind"), None);
        prop_assert_eq!(result(Method::GetTask, DOWN, &told), task);
    }

    #[test]
    fn what_0_3_says_is_protojson_when_told(task in OLD.task()) {
        let told = translate::result(Method::GetTask, UP, &raw(&task)).unwrap().into_owned();
        let read = grpc::result::<v1::Task>(&told);
        prop_assert!(read.is_ok(), "{told}: {read:?}");
    }

    #[test]
    fn messages_of_grpc_survive_an_agent_of_0_3(event in new_event()) {
        let message: v1::StreamResponse = grpc::result(&event.to_string()).unwrap();
        let json = grpc::to_json(&message).unwrap();
        let old = result(Method::SubscribeToTask, DOWN, &json);
        let new = result(Method::SubscribeToTask, UP, &old);
        let back: v1::StreamResponse = grpc::result(&new.to_string()).unwrap();
        prop_assert_eq!(back, message);
    }

    #[test]
    fn params_come_back(message in OLD.message(), blocking in any::<bool>()) {
        let sent = json!({"message": message, "configuration": {"blocking": blocking}});
        let told = params(Method::SendMessage, UP, &sent);
        prop_assert_eq!(params(Method::SendMessage, DOWN, &told), sent);
    }

    #[test]
    fn no_json_makes_it_fall_over(value in json_value(), known in NEW.task()) {
        let mixed = json!({"message": value, "task": value, "parts": value, "status": value,
            "file": value, "artifacts": [value, known], "configs": value, "kind": "task"});
        for value in [&value, &known, &mixed] {
            for method in Method::ALL {
                for way in [UP, DOWN] {
                    let _ = translate::params(method, way, Some(&raw(value)));
                    let _ = translate::result(method, way, &raw(value));
                    let _ = translate::error(way, value.clone());
                }
            }
        }
    }
}
