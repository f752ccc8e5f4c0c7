//! Configuration documents: merged member by member, within limits.

use candor_testkit::http::{Call, Client};
use candor_testkit::platform::DataDir;
use http::Method;
use serde_json::json;

use super::{binaries, created, get};

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_merged_and_what_no_document_can_hold_is_refused() {
    let data = DataDir::new().unwrap();
    let candor = binaries().up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    // External ones begin without a document.
    let body = json!({"name": "w", "external": true, "url": "http://localhost:1"});
    let answer = client.send(Call::post("/workspaces", &body)).await.unwrap();
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/workspaces/{id}/config");
    assert_eq!(get(&mut client, &path).await.1, r#"{"data":{}}"#);
    let filler = "x".repeat(262_144 - 4);
    let whole = format!(r#" "{filler}" "#);
    for (body, code, wanted) in [
        ("[1]", 200, r#"{"status":"updated"}"#),
        (r#"{"b":1.0,"a":"<"}"#, 200, r#"{"status":"updated"}"#),
        ("", 400, r#"{"error":"invalid JSON"}"#),
        ("{} x", 400, r#"{"error":"invalid JSON"}"#),
        (
            r#"{"a":"\u0000"}"#,
            400,
            r#"{"error":"data must not contain NUL characters"}"#,
        ),
        (whole.as_str(), 200, r#"{"status":"updated"}"#),
        (
            &format!("{whole} "),
            413,
            r#"{"error":"body too large or unreadable"}"#,
        ),
    ] {
        let call = Call::new(Method::PATCH, &path).body(body.to_owned());
        let answer = client.send(call).await.unwrap();
        assert_eq!((answer.status, &*answer.text()), (code, wanted));
    }
    let merged = format!(r#"{{"data":[1,{{"a":"\u003c","b":1.0}},"{filler}"]}}"#);
    assert!(get(&mut client, &path).await.1 == merged, "as jsonb merges");
    let mut last = 200;
    for _ in 0..4 {
        let call = Call::new(Method::PATCH, &path).body(whole.clone());
        last = client.send(call).await.unwrap().status;
    }
    assert_eq!(last, 400, "a document does not grow without end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_a_secret_of_the_workspace() {
    let data = DataDir::new().unwrap();
    let candor = binaries().up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    let id = created(&mut client, "w").await;
    let path = format!("/workspaces/{id}/model");
    for (body, code, wanted) in [
        ("x", 400, r#"{"error":"invalid request body"}"#),
        (r#"{"model":1}"#, 400, r#"{"error":"invalid request body"}"#),
        ("{}", 200, r#"{"status":"cleared"}"#),
        (r#"{"model":"m"}"#, 200, r#"{"model":"m","status":"saved"}"#),
    ] {
        let call = Call::new(Method::PUT, &path).body(body);
        let answer = client.send(call).await.unwrap();
        assert_eq!((answer.status, &*answer.text()), (code, wanted));
    }
    let (_, listed) = get(&mut client, &format!("/workspaces/{id}/secrets")).await;
    assert!(listed.contains(r#""key":"MODEL_PROVIDER""#), "{listed}");
}
