//! What is refused, in which words; and what a change restarts.

use candor_proto::provisioner::v1 as pb;
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::{DataDir, Platform};
use candor_testkit::postgres;
use http::Method;
use serde_json::json;

use super::{binaries, created, delete, get, grpc, put, send};

const UNKNOWN: &str = "00000000-0000-4000-8000-000000000000";

async fn count(candor: &Platform, query: &str) -> i64 {
    postgres::count(&candor.database_url(), query)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_is_refused_with_the_reason() {
    let data = DataDir::new().unwrap();
    let candor = binaries().up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    let id = created(&mut client, "w").await;
    let own = format!("/workspaces/{id}/secrets");
    let large = "v".repeat(65_537);
    for path in [own.as_str(), "/settings/secrets"] {
        for (key, value, wanted) in [
            ("WORKSPACE_ID", "v", "reserved name: WORKSPACE_ID"),
            ("PLATFORM_URL", "v", "reserved name: PLATFORM_URL"),
            ("LD_PRELOAD", "v", "reserved name: LD_PRELOAD"),
            ("K", large.as_str(), "value of K is longer than 65536 bytes"),
            (&large[..257], "v", "key is longer than 256 bytes"),
            ("a\0b", "v", "key must not contain NUL characters"),
            ("K", "a\0b", "value must not contain NUL characters"),
        ] {
            let wanted = (400, json!({"error": wanted}).to_string());
            assert_eq!(put(&mut client, path, key, value).await, wanted);
        }
    }
    let body = json!({"name": "x", "secrets": {"K": large}});
    let answer = client.send(Call::post("/workspaces", &body)).await.unwrap();
    assert_eq!(answer.status, 400, "{}", answer.text());
    let all = "SELECT (SELECT count(*) FROM workspace_secrets)
                      + (SELECT count(*) FROM global_secrets)";
    assert_eq!(count(&candor, all).await, 0);

    for (number, table) in [(200, "workspace_secrets"), (200, "global_secrets")] {
        let (column, value) = match table {
            "workspace_secrets" => ("workspace_id, ", format!("'{id}', ")),
            _ => ("", String::new()),
        };
        let rows = format!(
            "INSERT INTO {table} ({column}key, encrypted_value)
             SELECT {value}'K' || i, 'v' FROM generate_series(1, {number}) i"
        );
        postgres::execute(&candor.database_url(), &rows)
            .await
            .unwrap();
    }
    for path in [own.as_str(), "/admin/secrets"] {
        let body = json!({"key": "ONE_MORE", "value": "v"});
        let answer = send(&mut client, Method::POST, path, &body).await;
        assert_eq!(
            answer.text(),
            r#"{"error":"too many secrets, at most 200"}"#
        );
        let body = json!({"key": "K7", "value": "another"});
        assert_eq!(
            send(&mut client, Method::POST, path, &body).await.status,
            200
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_come_encoded_and_ids_as_the_original_takes_them() {
    let data = DataDir::new().unwrap();
    let candor = binaries().up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    let id = created(&mut client, "w").await;
    for (key, encoded) in [
        ("a/b", "a%2Fb"),
        ("bad key", "bad%20key"),
        ("100%=ü", "100%25%3D%C3%BC"),
    ] {
        for root in [
            format!("/workspaces/{id}/secrets"),
            "/settings/secrets".into(),
        ] {
            assert_eq!(put(&mut client, &root, key, "v").await.0, 200);
            let (code, told) = delete(&mut client, &format!("{root}/{encoded}")).await;
            assert_eq!(code, 200, "{told}");
            assert!(told.contains(&json!(key).to_string()), "{told}");
        }
    }
    let upper = id.to_uppercase();
    let invalid = (400, r#"{"error":"invalid workspace ID"}"#.to_owned());
    for id in [upper.as_str(), "nope"] {
        let path = format!("/workspaces/{id}/secrets");
        assert_eq!(get(&mut client, &path).await, invalid);
        assert_eq!(put(&mut client, &path, "K", "v").await, invalid);
        assert_eq!(delete(&mut client, &format!("{path}/K")).await, invalid);
        assert_eq!(get(&mut client, &format!("{path}/values")).await, invalid);
        let path = format!("/workspaces/{id}/model");
        let body = json!({"model": "m"});
        let answer = send(&mut client, Method::PUT, &path, &body).await;
        assert_eq!((answer.status, answer.text().to_string()), invalid);
    }
    // Reading a model takes every way of writing an id (recorded by the contract).
    let (code, _) = get(&mut client, &format!("/workspaces/{upper}/model")).await;
    assert_eq!(code, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_for_what_is_not_there() {
    let data = DataDir::new().unwrap();
    let candor = binaries().up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    let removed = created(&mut client, "w").await;
    let (code, _) = delete(&mut client, &format!("/workspaces/{removed}?confirm=true")).await;
    assert_eq!(code, 200);
    let kept = "SELECT (SELECT count(*) FROM workspace_secrets)
                       + (SELECT count(*) FROM workspace_config)";
    let before = count(&candor, kept).await;
    let missing = (404, r#"{"error":"workspace not found"}"#.to_owned());
    for id in [UNKNOWN, &removed] {
        let of = format!("/workspaces/{id}");
        assert_eq!(
            put(&mut client, &format!("{of}/secrets"), "K", "v").await,
            missing
        );
        assert_eq!(
            get(&mut client, &format!("{of}/secrets/values")).await,
            missing
        );
        for (method, path, body) in [
            (Method::PUT, format!("{of}/model"), json!({"model": "m"})),
            (Method::PATCH, format!("{of}/config"), json!({"a": 1})),
        ] {
            let answer = send(&mut client, method, &path, &body).await;
            assert_eq!((answer.status, answer.text().to_string()), missing);
        }
    }
    assert_eq!(count(&candor, kept).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_with_a_secret_that_changes_is_restarted_and_nothing_else() {
    let data = DataDir::new().unwrap();
    let candor = binaries().up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    let mut ids = Vec::new();
    for name in ["own", "global", "stopped", "external"] {
        ids.push(created(&mut client, name).await);
    }
    // Of a backend that is not here, so that nothing moves them.
    let instances = format!(
        "INSERT INTO provisioner.instances (workspace_id, backend, want, epoch, version, next_at)
         VALUES ('{}', 'elsewhere', 'running', 1, 1, 'infinity'),
                ('{}', 'elsewhere', 'running', 1, 1, 'infinity'),
                ('{}', 'elsewhere', 'stopped', 1, 1, 'infinity')",
        ids[0], ids[1], ids[2]
    );
    let url = candor.database_url();
    postgres::execute(&url, &instances).await.unwrap();
    let mut grpc = grpc(&candor).await;
    let mut restarts = Vec::new();
    for (workspace_id, key) in [
        (ids[0].as_str(), "K"),
        (&ids[2], "K"),
        (&ids[3], "K"),
        ("", "OTHER"),
        ("", "K"),
    ] {
        let request = pb::PutSecretRequest {
            workspace_id: workspace_id.to_owned(),
            key: key.to_owned(),
            value: "v".to_owned(),
        };
        let answer = grpc.put_secret(request).await.unwrap();
        restarts.push(answer.into_inner().restarts);
    }
    assert_eq!(restarts, [1, 0, 0, 2, 1], "an own row hides the global one");
    let request = pb::DeleteSecretRequest {
        workspace_id: String::new(),
        key: "K".to_owned(),
    };
    let answer = grpc.delete_secret(request).await.unwrap();
    assert_eq!(answer.into_inner().restarts, 1);
}
