//! What is there beside the methods: envelopes, versions, bounds, the card, the
//! transcript, the health.
#![allow(clippy::unwrap_used)]

mod stage;

use candor_a2a::card::{Access, Door, Workspace, publish, spoken};
use candor_a2a::{Version, grpc};
use candor_identity::scoped;
use candor_kernel::WorkspaceId;
use candor_kernel::token::TokenHash;
use candor_proto::a2a::v1;
use candor_testkit::http::Call;
use candor_testkit::wait::{wait_for, wait_until};
use candor_workspace::a2a::Limits;
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use stage::{SOON, Setting, Stage, TOKEN, message_03, message_10, rpc};
use uuid::Uuid;

fn raw(body: impl Into<bytes::Bytes>) -> Call {
    Call::new(http::Method::POST, "/").body(body)
}

#[tokio::test]
async fn envelopes_are_refused_as_json_rpc_says() {
    let stage = Stage::new().await;
    let rows = [
        ("", -32700, json!(null)),
        ("{", -32700, json!(null)),
        ("[]", -32600, json!(null)),
        (r#"{"id":5,"method":"tasks/get"}"#, -32600, json!(5)),
        (
            r#"{"jsonrpc":"1.0","id":5,"method":"tasks/get"}"#,
            -32600,
            json!(5),
        ),
        (
            r#"{"jsonrpc":"2.0","id":"a","method":7}"#,
            -32600,
            json!("a"),
        ),
        (
            r#"{"jsonrpc":"2.0","id":"a","method":"x"}"#,
            -32601,
            json!("a"),
        ),
        (
            r#"{"jsonrpc":"2.0","id":"a","method":"tasks/get","params":[1]}"#,
            -32602,
            json!("a"),
        ),
        (
            r#"{"jsonrpc":"2.0","method":"tasks/get"}"#,
            -32602,
            json!(null),
        ),
    ];
    for (body, code, id) in rows {
        let answer = stage.send(raw(body)).await;
        assert_eq!(answer.status, 200, "{body}");
        let told = answer.json();
        assert_eq!(
            (&told["error"]["code"], &told["id"]),
            (&json!(code), &id),
            "{body}"
        );
        assert_eq!(told["jsonrpc"], "2.0");
    }
}

#[tokio::test]
async fn the_version_is_that_of_the_methods_name_and_others_are_refused() {
    let stage = Stage::new().await;
    let new = || rpc("GetTask", &json!({"id": "x"}));
    for call in [
        new(),
        new().header("a2a-version", "1.0"),
        new().header("A2A-Version", "1.0.7"),
        rpc("tasks/get", &json!({"id": "x"})).header("a2a-version", "0.3"),
    ] {
        assert_eq!(stage.send(call).await.json()["error"]["code"], -32001);
    }
    let refused = stage.send(new().header("a2a-version", "2.0")).await.json();
    assert_eq!(refused["error"]["code"], -32009, "{refused}");
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": "x"}});
    let call = Call::post("/a2a?A2A-Version=9.9", &body);
    assert_eq!(stage.send(call).await.json()["error"]["code"], -32009);
    let call = Call::post("/a2a", &body);
    assert_eq!(stage.send(call).await.json()["error"]["code"], -32001);
}

#[tokio::test]
async fn a_request_may_be_large_but_not_larger() {
    let stage = Stage::new().await;
    let most = 10 * 1024 * 1024;
    let answer = stage.send(raw(vec![b'x'; most + 1])).await;
    assert_eq!(answer.status, 413);
    let told = answer.json();
    assert_eq!(told["error"]["code"], -32600);
    assert_eq!(
        told["error"]["message"],
        format!("the request has more than {most} bytes")
    );
    stage.answers("read").await;
    let long = "x".repeat(most - 1_000);
    let told = stage
        .call("SendMessage", json!({"message": message_10(&long)}))
        .await;
    assert_eq!(told["result"]["message"]["parts"][0]["text"], "read");
}

#[tokio::test]
async fn the_card_is_read_by_both_versions_and_by_the_platform() {
    let stage = Stage::new().await;
    let first = stage.send(Call::get("/.well-known/agent-card.json")).await;
    assert_eq!(first.status, 200);
    assert_eq!(first.header("content-type"), "application/json");
    assert_eq!(first.header("cache-control"), "public, max-age=60");
    let card = first.json();
    assert_eq!(card, stage.card.to_json());
    let url = format!("http://{}/", stage.addr);
    let golden = json!({
        "name": "Ada", "description": "Answers.", "version": "1.2.3", "url": url,
        "protocolVersion": "0.3.0", "preferredTransport": "JSONRPC",
        "additionalInterfaces": [{"url": url, "transport": "JSONRPC"}],
        "supportedInterfaces": [
            {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
            {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "0.3"}],
        "capabilities":
            {"streaming": true, "pushNotifications": false, "extendedAgentCard": false},
        "supportsAuthenticatedExtendedCard": false,
        "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
        "skills": [{"id": "answer", "name": "Answer", "description": "Answers.", "tags": ["talk"]}],
    });
    assert_eq!(card, golden);
    let message: v1::AgentCard = grpc::from_json(&card.to_string()).unwrap();
    assert_eq!(message.supported_interfaces.len(), 2);

    let text = card.to_string();
    let spoken = spoken(Some(&text));
    assert_eq!(spoken.versions, [Version::V10, Version::V03]);
    let (workspace, door) = (
        Workspace {
            id: "w",
            name: "w",
            agent_url: Some(&url),
        },
        Door {
            base_url: "https://candor.example",
            grpc_url: None,
            access: Access::Open,
        },
    );
    let published: Value =
        serde_json::from_str(&publish(Some(&text), &workspace, &door).json).unwrap();
    assert_eq!(published["url"], "https://candor.example/a2a/w");
    assert_eq!(published["skills"], card["skills"]);

    let etag = first.header("etag");
    let old = stage
        .send(Call::get("/.well-known/agent.json").header("if-none-match", etag.as_str()))
        .await;
    assert_eq!(
        (old.status, old.body.len(), old.header("etag")),
        (304, 0, etag)
    );
    let old = stage
        .send(Call::get("/.well-known/agent.json").header("if-none-match", "\"x\""))
        .await;
    assert_eq!((old.status, old.json()), (200, card));
}

#[tokio::test]
async fn the_transcript_is_for_who_has_the_token_and_for_the_platforms_word() {
    let stage = Stage::with(Setting {
        transcript: Some(json!(["a", "b"])),
        token: Some("secret"),
        ..Setting::default()
    })
    .await;
    let path = "/transcript?since=3&limit=9";
    let lines = json!({"lines": ["a", "b"], "since": 3, "limit": 9});
    let word = |token: &str, purpose: &str, id: WorkspaceId, ago: i64| {
        let then = Utc::now() - TimeDelta::seconds(ago);
        scoped::sign(
            &[TokenHash::of("x"), TokenHash::of(token)],
            purpose,
            id,
            then,
        )
        .unwrap()
    };
    let id = stage.workspace;
    for good in [
        "secret".to_owned(),
        word("secret", scoped::TRANSCRIPT, id, 0),
    ] {
        let answer = stage.send(Call::get(path).bearer(&good)).await;
        assert_eq!(
            (answer.status, answer.json()),
            (200, lines.clone()),
            "{good}"
        );
    }
    let other = WorkspaceId::from_uuid(Uuid::from_u128(8));
    let refused = json!({"error": "unauthorized"});
    for bad in [
        Call::get(path),
        Call::get(path).bearer(""),
        Call::get(path).bearer("secre"),
        Call::get(path).bearer("secret2"),
        Call::get(path).header("authorization", "secret"),
        Call::get(path).header("authorization", "bearer secret"),
        Call::get(path).header("authorization", "Basic secret"),
        Call::get(path).bearer(&word("secret", "delete", id, 0)),
        Call::get(path).bearer(&word("secret", scoped::TRANSCRIPT, other, 0)),
        Call::get(path).bearer(&word("stranger", scoped::TRANSCRIPT, id, 0)),
        Call::get(path).bearer(&word("secret", scoped::TRANSCRIPT, id, 120)),
    ] {
        let answer = stage.send(bad.clone()).await;
        assert_eq!(
            (answer.status, answer.json()),
            (401, refused.clone()),
            "{bad:?}"
        );
    }
    let answer = stage
        .send(Call::get("/transcript?limit=x").bearer("secret"))
        .await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn without_a_token_or_without_a_transcript_there_is_none() {
    let stage = Stage::with(Setting {
        token: None,
        ..Setting::default()
    })
    .await;
    for bearer in ["", "x"] {
        let answer = stage.send(Call::get("/transcript").bearer(bearer)).await;
        assert_eq!(answer.status, 401);
    }
    let stage = Stage::with(Setting {
        token: Some("secret"),
        ..Setting::default()
    })
    .await;
    let answer = stage.send(Call::get("/transcript").bearer("secret")).await;
    let golden = json!({"runtime": "scripted", "supported": false, "lines": [], "cursor": 0,
                        "more": false});
    assert_eq!((answer.status, answer.json()), (404, golden));
}

#[tokio::test]
async fn all_tasks_are_listed_for_who_has_the_token_and_one_is_read_by_its_id() {
    let stage = Stage::new().await;
    let id = stage.begins("what alice said").await;
    let (now, hashes) = (Utc::now(), [TokenHash::of(TOKEN)]);
    let word = |purpose| scoped::sign(&hashes, purpose, stage.workspace, now).unwrap();
    for method in ["ListTasks", "tasks/list"] {
        let list = || rpc(method, &json!({}));
        for good in [TOKEN.to_owned(), word(scoped::TRANSCRIPT)] {
            let told = stage.send(list().bearer(&good)).await.json();
            assert_eq!(told["result"]["tasks"][0]["id"], id.as_str(), "{told}");
        }
        for bad in [list(), list().bearer("x"), list().bearer(&word("delete"))] {
            let told = stage.send(bad).await.json();
            assert_eq!(told["error"]["code"], -32004, "{told}");
            let why = told["error"]["message"].as_str().unwrap();
            assert!(why.contains("this workspace's token"), "{why}");
            assert!(!told.to_string().contains("alice"));
        }
    }
    assert_eq!(stage.task(&id).await["id"], id.as_str());
    let nobody = Stage::with(Setting {
        token: None,
        ..Setting::default()
    })
    .await;
    let told = nobody.send(rpc("ListTasks", &json!({})).bearer("")).await;
    assert_eq!(told.json()["error"]["code"], -32004, "no token, no list");
}

#[tokio::test]
async fn requests_weigh_until_their_turns_have_ended() {
    let stage = Stage::with(Setting {
        limits: Limits {
            requests: 1024 * 1024,
            ..Limits::default()
        },
        ..Setting::default()
    })
    .await;
    let long = "x".repeat(400 * 1024);
    let (first, _second) = (stage.begins(&long).await, stage.begins(&long).await);
    // Each waits for its turn, long after it was read.
    let message = json!({"message": message_10(&long)});
    let refused = stage.send(rpc("SendMessage", &message)).await;
    assert_eq!(
        (refused.status, refused.header("retry-after").as_str()),
        (503, "5")
    );
    let reason = &refused.json()["error"]["data"][0]["reason"];
    assert_eq!(reason, "AGENT_BUSY", "{}", refused.text());
    // What is small is let in, and makes room.
    let told = stage.call("CancelTask", json!({"id": first})).await;
    assert_eq!(told["result"]["status"]["state"], "TASK_STATE_CANCELED");
    let third = wait_for("room", SOON, || async {
        let answer = stage.calls("SendMessage", message.clone());
        let is_let_in = wait_until(SOON, || answer.is_finished() || stage.vitals.active() == 2);
        assert!(is_let_in.await);
        (stage.vitals.active() == 2).then_some(answer)
    })
    .await
    .unwrap();
    stage.answers("second").await;
    stage.answers("third").await;
    let told = third.await.unwrap().json();
    assert_eq!(told["result"]["message"]["parts"][0]["text"], "third");
}

#[tokio::test]
async fn the_health_says_that_it_works_or_is_wedged() {
    let stage = Stage::new().await;
    let answer = stage.send(Call::get("/healthz")).await;
    assert_eq!(
        (answer.status, answer.json()),
        (200, json!({"status": "ok", "active_tasks": 0}))
    );
    stage.begins("hi").await;
    assert_eq!(
        stage.send(Call::get("/healthz")).await.json()["active_tasks"],
        1
    );
    stage.vitals.mark_wedged("stuck");
    let answer = stage.send(Call::get("/healthz")).await;
    let golden = json!({"status": "wedged", "reason": "stuck", "active_tasks": 1});
    assert_eq!((answer.status, answer.json()), (503, golden));
}

#[tokio::test]
async fn legacy_callers_read_the_text_where_they_look_for_it() {
    let stage = Stage::new().await;
    stage.answers("hello").await;
    let body = json!({"jsonrpc": "2.0", "id": "x", "method": "message/send",
                      "params": {"message": message_03("hi")}});
    let answer = stage
        .send(Call::post("/a2a", &body).header("x-candor-attempt", "1"))
        .await;
    assert_eq!(answer.json()["result"]["parts"][0]["text"], "hello");
    assert_eq!(answer.json()["id"], "x");
}
