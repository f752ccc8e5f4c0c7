//! Templates, and the teams that they make.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use candor_testkit::agent::FakeAgent;
use candor_testkit::http::{Answer, Call, Client};
use candor_testkit::platform::{Binaries, DataDir, Platform};
use candor_testkit::postgres;
use http::Method;
use serde_json::{Value, json};

const PM: &str = r"
name: PM
description: leads
tier: 2
runtime: crewai
skills: [plan, talk]
runtime_config:
  model: opus
  required_env: [A_KEY]
  provision_timeout_seconds: 1200
  models:
  - id: opus
    name: Opus
  - id: other
    required_env: [B_KEY]
sub_workspaces:
- config: dev
  name: Ada
  role: writes
- config: dev
- {}
";

fn template(root: &Path, name: &str, yaml: &str) {
    fs::create_dir_all(root.join(name)).unwrap();
    fs::write(root.join(name).join("config.yaml"), yaml).unwrap();
}

async fn up(data: &DataDir) -> (Platform, DataDir) {
    let root = DataDir::new().unwrap();
    template(root.path(), "pm", PM);
    template(
        root.path(),
        "dev",
        "name: Dev\nruntime: hermes\nmodel: small\n",
    );
    template(root.path(), "broken", "name: [\n");
    fs::create_dir(root.path().join("empty")).unwrap();
    let folder = root.path().to_str().unwrap().to_owned();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let settings = [("CANDOR_TEMPLATES", folder.as_str())];
    let candor = binaries.up(data, &settings).await.unwrap();
    (candor, root)
}

async fn created(client: &mut Client, body: &Value) -> Value {
    let answer = client.send(Call::post("/workspaces", body)).await.unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let found = Call::get(format!("/workspaces/{id}"));
    client.send(found).await.unwrap().json()
}

async fn post(client: &mut Client, target: String) -> Answer {
    client.send(Call::new(Method::POST, target)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_are_listed_and_say_what_a_workspace_runs() {
    let data = DataDir::new().unwrap();
    let (candor, _root) = up(&data).await;
    let mut client = Client::new(candor.http());
    let listed = client.send(Call::get("/templates")).await.unwrap();
    assert_eq!(
        listed.text(),
        concat!(
            r#"[{"id":"dev","name":"Dev","description":"","tier":0,"runtime":"hermes","model":"small","skills":null,"skill_count":0},"#,
            r#"{"id":"pm","name":"PM","description":"leads","tier":2,"runtime":"crewai","model":"opus","#,
            r#""models":[{"id":"opus","name":"Opus"},{"id":"other","required_env":["B_KEY"]}],"required_env":["A_KEY"],"#,
            r#""skills":["plan","talk"],"skill_count":2,"provision_timeout_seconds":1200}]"#
        )
    );
    for (template, runtime, is) in [
        ("dev", None, "hermes"),
        ("dev", Some("autogen"), "autogen"),
        ("no-such", None, "langgraph"),
        ("broken", None, "langgraph"),
    ] {
        let body = json!({"name": "t", "template": template, "runtime": runtime});
        let workspace = created(&mut client, &body).await;
        assert_eq!(workspace["runtime"], is, "{template}");
    }
    let escape = json!({"name": "t", "template": "../x"});
    let answer = client
        .send(Call::post("/workspaces", &escape))
        .await
        .unwrap();
    assert_eq!(answer.status, 400);
    assert_eq!(answer.text(), r#"{"error":"invalid template"}"#);
    let import = json!({"name": "x", "files": {}});
    let import = Call::post("/templates/import", &import);
    assert_eq!(client.send(import).await.unwrap().status, 501);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_is_made_once_and_goes_with_all_that_is_below_it() {
    let data = DataDir::new().unwrap();
    let (candor, _root) = up(&data).await;
    let mut client = Client::new(candor.http());
    let none = created(&mut client, &json!({"name": "nobody"})).await;
    let answer = post(
        &mut client,
        format!("/workspaces/{}/expand", none["id"].as_str().unwrap()),
    )
    .await;
    assert_eq!(
        answer.text(),
        r#"{"error":"no config found for workspace"}"#
    );
    let solo = created(&mut client, &json!({"name": "Dev"})).await;
    let answer = post(
        &mut client,
        format!("/workspaces/{}/expand", solo["id"].as_str().unwrap()),
    )
    .await;
    let text = r#"{"error":"workspace has no sub_workspaces defined in config"}"#;
    assert_eq!((answer.status, answer.text().as_str()), (400, text));

    let lead = created(&mut client, &json!({"name": "PM", "tier": 2})).await;
    let lead = format!("/workspaces/{}", lead["id"].as_str().unwrap());
    let first = post(&mut client, format!("{lead}/expand")).await;
    assert_eq!(first.status, 200, "{}", first.text());
    let children = first.json()["children"].clone();
    let id = |n: usize| children[n]["id"].as_str().unwrap().to_owned();
    let expected = format!(
        r#"{{"children":[{{"id":"{}","name":"Ada","role":"writes"}},{{"id":"{}","name":"dev","role":""}}],"status":"expanded"}}"#,
        id(0),
        id(1)
    );
    assert_eq!(first.text(), expected);
    let again = post(&mut client, format!("{lead}/expand")).await;
    assert_eq!(again.text(), expected);
    let child = client
        .send(Call::get(format!("/workspaces/{}", id(0))))
        .await
        .unwrap()
        .json();
    assert_eq!(
        (&child["tier"], &child["runtime"]),
        (&json!(2), &json!("hermes"))
    );
    assert_eq!(
        child["parent_id"],
        json!(lead.trim_start_matches("/workspaces/"))
    );

    let below = json!({"name": "below", "parent_id": id(1)});
    let below = created(&mut client, &below).await;
    let collapsed = post(&mut client, format!("{lead}/collapse")).await;
    let mut removed = collapsed.json()["removed"].clone();
    removed
        .as_array_mut()
        .unwrap()
        .sort_by_key(Value::to_string);
    assert_eq!(removed, json!(["Ada", "dev"]));
    let below = format!("/workspaces/{}", below["id"].as_str().unwrap());
    let below = client.send(Call::get(below)).await.unwrap().json();
    assert_eq!(below["status"], "removed");
    let empty = post(&mut client, format!("{lead}/collapse")).await;
    assert_eq!(empty.text(), r#"{"removed":[],"status":"collapsed"}"#);

    // Once each: nothing changed the second time.
    let told = "SELECT string_agg(event_type || ' ' || payload::text, ';' ORDER BY event_type)
                FROM structure_events WHERE event_type IN ('WORKSPACE_EXPANDED', 'WORKSPACE_COLLAPSED')";
    let told = postgres::text(&candor.database_url(), told).await.unwrap();
    assert_eq!(told.matches("WORKSPACE_").count(), 2, "{told}");
    assert!(
        told.contains("removed_children") && told.contains("writes"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_takes_no_template_by_its_name_and_no_team_by_its_own_word() {
    let data = DataDir::new().unwrap();
    let (candor, _root) = up(&data).await;
    let mut client = Client::new(candor.http());
    let agent = FakeAgent::enrolled(&mut client, "PM").await.unwrap();
    let path = |below: &str| format!("/workspaces/{}{below}", agent.id);
    let own = Call::get(path("/files/config.yaml")).bearer(&agent.token);
    let answer = client.send(own).await.unwrap();
    let text = r#"{"error":"file not found (container offline, no template)"}"#;
    assert_eq!((answer.status, answer.text().as_str()), (404, text));
    let content = json!({"content": "sub_workspaces:\n- name: mine\n"});
    let put = Call::new(Method::PUT, path("/files/config.yaml"));
    let put = client.send(put.json(&content).bearer(&agent.token)).await;
    assert_eq!(put.unwrap().status, 200);
    let expand = Call::new(Method::POST, path("/expand")).bearer(&agent.token);
    let answer = client.send(expand).await.unwrap();
    assert_eq!(
        answer.text(),
        r#"{"error":"no config found for workspace"}"#
    );

    // What its token wrote stays its own word when people ask; what people write is not.
    let agent = FakeAgent::enrolled(&mut client, "lone").await.unwrap();
    let path = |below: &str| format!("/workspaces/{}{below}", agent.id);
    let write = || Call::new(Method::PUT, path("/files/config.yaml")).json(&content);
    let put = client.send(write().bearer(&agent.token)).await.unwrap();
    assert_eq!(put.status, 200);
    let answer = post(&mut client, path("/expand")).await;
    assert_eq!(
        answer.text(),
        r#"{"error":"no config found for workspace"}"#
    );
    assert_eq!(client.send(write()).await.unwrap().status, 200);
    let answer = post(&mut client, path("/expand")).await;
    assert!(
        answer.text().contains(r#""name":"mine""#),
        "{}",
        answer.text()
    );
}
