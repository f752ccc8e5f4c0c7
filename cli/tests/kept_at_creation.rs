//! What a create acknowledged is kept, although the routes that read it come
//! later; and what a purge leaves.
#![allow(clippy::unwrap_used)]

use candor_testkit::agent::FakeAgent;
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::{Binaries, DataDir, Platform};
use candor_testkit::postgres;
use http::Method;
use serde_json::json;

const KEY: &str = "0123456789abcdef0123456789abcdef";

async fn one(candor: &Platform, query: &str) -> String {
    postgres::text(&candor.database_url(), query).await.unwrap()
}

async fn created(client: &mut Client) -> String {
    let body = json!({"name": "kept", "tier": 1, "runtime": "claude-code", "template": "t",
    "secrets": {"API": "hunter2"},
    "initial_memories": [
        {"content": "remember MY_TOKEN=abc", "scope": "team"},
        {"content": "dropped", "scope": "nowhere"}
    ]});
    let answer = client.send(Call::post("/workspaces", &body)).await.unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_sealed_where_a_key_is_set_and_memories_are_kept_redacted() {
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    for (key, version) in [(KEY, "1"), ("", "0")] {
        let data = DataDir::new().unwrap();
        let settings = [("SECRETS_ENCRYPTION_KEY", key)];
        let candor = binaries.up(&data, &settings).await.unwrap();
        let id = created(&mut Client::new(candor.http())).await;
        let secret = format!(
            "SELECT encryption_version::text || ' ' || (encrypted_value = 'hunter2'::bytea)::text
             FROM workspace_secrets WHERE workspace_id = '{id}' AND key = 'API'"
        );
        let plain = version == "0";
        assert_eq!(one(&candor, &secret).await, format!("{version} {plain}"));
        let memories = format!(
            "SELECT string_agg(scope || ':' || content || ':' || namespace, ';')
             FROM agent_memories WHERE workspace_id = '{id}'"
        );
        let kept = format!("TEAM:remember [REDACTED:TOKEN]:workspace:{id}");
        assert_eq!(one(&candor, &memories).await, kept);
        let config =
            format!("SELECT data ->> 'template' FROM workspace_config WHERE workspace_id = '{id}'");
        assert_eq!(one(&candor, &config).await, "t");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reserved_names_are_refused_and_leave_nothing() {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    let body = json!({"name": "x", "secrets": {"WORKSPACE_ID": "another"}});
    let answer = client.send(Call::post("/workspaces", &body)).await.unwrap();
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["error"], "reserved name: WORKSPACE_ID");
    assert_eq!(
        one(&candor, "SELECT count(*)::text FROM workspaces").await,
        "0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purged_id_answers_as_removed_for_ever() {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    let mut agent = FakeAgent::enrolled(&mut client, "purged").await.unwrap();
    let path = format!("/workspaces/{}", agent.id);
    let purge = Call::new(Method::DELETE, format!("{path}?purge=true"));
    let purged = client.send(purge).await.unwrap();
    assert_eq!(purged.text(), r#"{"cascade_deleted":0,"status":"purged"}"#);
    assert_eq!(client.send(Call::get(path)).await.unwrap().status, 404);
    for _ in 0..2 {
        let late = agent.beat(&mut client).await.unwrap().unwrap();
        assert_eq!(late.json()["workspace"], "removed", "{}", late.text());
    }
    let body = json!({"id": agent.id, "url": "http://localhost:1", "agent_card": {}});
    let register = client.send(Call::post("/registry/register", &body)).await;
    assert_eq!(register.unwrap().status, 410);
    let left = format!(
        "SELECT count(*)::text FROM workspace_auth_tokens WHERE workspace_id = '{}'",
        agent.id
    );
    assert_eq!(one(&candor, &left).await, "0");
}
