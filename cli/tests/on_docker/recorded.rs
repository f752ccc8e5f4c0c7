//! What the platform leaves on a real engine, beside what the original left there
//! (`crates/testkit/data/original-docker.jsonl`): the same environment and the same
//! config.yaml. Names, labels, mounts, limits and files' modes are compared where the
//! backend is (`services/provisioner/tests/docker_recorded.rs`).

use std::collections::BTreeSet;
use std::fs;

use candor_testkit::http::Call;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::engine::{World, container, docker, try_docker};

const RECORDING: &str = include_str!("../../../crates/testkit/data/original-docker.jsonl");

/// Not set by Candor: an optional plugin of the original's sets them where there is a role,
/// which it writes with a large first letter.
const PLUGINS: [&str; 6] = [
    "MOLECULE_AGENT_ROLE=",
    "MOLECULE_ATTRIBUTION_BADGE=",
    "MOLECULE_GH_WRAPPER_B64=",
    "MOLECULE_GH_WRAPPER_SHA=",
    "MOLECULE_OWNER=",
    "MOLECULE_WORKSPACE_ID=",
];

/// A workspace of the first story: what was asked, and what was found of it.
struct Recorded {
    request: Value,
    env: BTreeSet<String>,
    config: String,
}

fn recorded() -> Vec<Recorded> {
    let lines: Vec<Value> = RECORDING
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let tiers = lines.iter().filter(|line| line["story"] == "docker/tiers");
    let mut request = Value::Null;
    let mut all = Vec::new();
    for line in tiers {
        if line["method"] == "POST" {
            request = serde_json::from_str(line["body"].as_str().unwrap()).unwrap();
        }
        let container = &line["found"]["container"];
        let first = line["note"].is_null();
        // Privileged tiers were refused by that engine; a folder of the host needs one.
        let comparable = container.is_object() && first && request["workspace_dir"].is_null();
        if !comparable || request["secrets"].get("WORKSPACE_ID").is_some() {
            continue;
        }
        let env = container["env"].as_array().unwrap().iter();
        all.push(Recorded {
            request: request.clone(),
            env: env.map(|one| one.as_str().unwrap().to_owned()).collect(),
            config: line["found"]["files"]["configs/config.yaml"]["text"]
                .as_str()
                .unwrap()
                .to_owned(),
        });
    }
    all
}

fn environment(id: &str) -> BTreeSet<String> {
    let format = "{{json .Config.Env}}";
    let told = docker(&["inspect", "--format", format, &container(id)]);
    let env: Vec<String> = serde_json::from_str(&told).unwrap();
    env.into_iter()
        .map(|one| match one.split_once('=') {
            Some((name @ ("PLATFORM_URL" | "MOLECULE_URL"), _)) => format!("{name}=<platform>"),
            _ => one.replace(id, "<id>"),
        })
        .filter(|one| !one.starts_with("BEATER_WORKSPACE=") && !one.starts_with("PATH="))
        .collect()
}

fn config(id: &str) -> String {
    let folder = TempDir::new().unwrap();
    let to = folder.path().join("config.yaml");
    let from = format!("{}:/configs/config.yaml", container(id));
    docker(&["cp", &from, to.to_str().unwrap()]);
    fs::read_to_string(to).unwrap()
}

#[tokio::test]
async fn environment_and_configuration_are_the_originals() {
    let Some(world) = World::new().await else {
        return;
    };
    let all = recorded();
    assert!(all.len() >= 3, "{}", all.len());
    for recorded in all {
        let id = world.create(&recorded.request).await;
        world.runs(&id, 1).await;
        let theirs: BTreeSet<String> = recorded
            .env
            .iter()
            .map(|one| match one.split_once('=') {
                Some((name @ ("PLATFORM_URL" | "MOLECULE_URL"), _)) => {
                    format!("{name}=<platform>")
                }
                Some(("WORKSPACE_ID", _)) => "WORKSPACE_ID=<id>".to_owned(),
                _ => one.clone(),
            })
            .collect();
        let not_plugins = |one: &&String| !PLUGINS.iter().any(|plugin| one.starts_with(plugin));
        let ours = environment(&id);
        let ours: Vec<&String> = ours.iter().filter(not_plugins).collect();
        let theirs: Vec<&String> = theirs.iter().filter(not_plugins).collect();
        assert_eq!(ours, theirs, "{}", recorded.request);
        assert_eq!(config(&id), recorded.config, "{}", recorded.request);
    }
}

#[tokio::test]
async fn what_is_deleted_leaves_its_work_and_nothing_else() {
    let Some(world) = World::new().await else {
        return;
    };
    let id = world.create(&json!({"name": "w", "tier": 2})).await;
    world.runs(&id, 1).await;
    let call = Call::new(http::Method::DELETE, format!("/workspaces/{id}"));
    let deleted = world.send(call).await;
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    assert!(try_docker(&["inspect", &container(&id)]).is_none());
    let configs = format!("{}-configs", container(&id));
    assert!(try_docker(&["volume", "inspect", &configs]).is_none());
    let work = format!("ws-{id}-workspace");
    assert!(try_docker(&["volume", "inspect", &work]).is_some());
    let ours = format!("label=candor.workspace={id}");
    let left = docker(&["volume", "ls", "-q", "--filter", &ours]);
    assert_eq!(left.trim(), work);
}

#[tokio::test]
async fn the_platforms_own_names_are_refused_as_secrets() {
    let Some(world) = World::new().await else {
        return;
    };
    let body =
        json!({"name": "sec", "tier": 2, "secrets": {"API_KEY": "v1", "WORKSPACE_ID": "evil"}});
    let refused = world.send(Call::post("/workspaces", &body)).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    let id = world
        .create(&json!({"name": "sec", "tier": 2, "secrets": {"API_KEY": "v1"}}))
        .await;
    world.runs(&id, 1).await;
    assert!(environment(&id).contains("API_KEY=v1"));
}
