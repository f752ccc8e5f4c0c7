//! Workspaces with tokens, made over HTTP as an agent's owner makes them.

use std::net::SocketAddr;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::Client;
use serde_json::{Value, json};

use crate::Result;
use crate::beat::{PATH, Workspace};

/// How many are made at the same time.
const AT_ONCE: usize = 8;

/// Creates and registers `count` workspaces, whose agents nobody calls.
pub async fn enrol(http: SocketAddr, count: usize) -> Result<Vec<Workspace>> {
    enrol_at(http, vec!["http://localhost:8001".to_owned(); count]).await
}

/// Creates and registers a workspace for each of these addresses of agents, in their
/// order.
pub async fn enrol_at(http: SocketAddr, urls: Vec<String>) -> Result<Vec<Workspace>> {
    let client = Client::builder().no_proxy().build()?;
    stream::iter(urls.into_iter().enumerate())
        .map(|(number, url)| one(client.clone(), http, number, url))
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

/// Sends one beat. Returns what the platform answered to it, having checked that
/// this is an acknowledgement: load generators only see the code.
pub async fn probe(http: SocketAddr, workspace: &Workspace) -> Result<String> {
    let client = Client::builder().no_proxy().build()?;
    let beat = json!({"workspace_id": workspace.id, "uptime_seconds": 9_999_999});
    let response = client
        .post(format!("http://{http}{PATH}"))
        .bearer_auth(&workspace.token)
        .json(&beat)
        .send()
        .await?;
    let (code, text) = (response.status().as_u16(), response.text().await?);
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    if code != 200 || answer["status"] != "ok" || answer.get("workspace").is_some() {
        return Err(format!("http://{http}{PATH} answers {code} {text}").into());
    }
    Ok(text)
}

async fn one(client: Client, http: SocketAddr, number: usize, url: String) -> Result<Workspace> {
    let new = json!({"name": format!("bench-{number}"), "tier": 1});
    let created = post(&client, http, "/workspaces", &new).await?;
    let id = text(&created, "id")?;
    let register = json!({"id": id, "url": url, "agent_card": {}});
    let registered = post(&client, http, "/registry/register", &register).await?;
    let token = text(&registered, "auth_token")?;
    Ok(Workspace { id, token })
}

async fn post(client: &Client, http: SocketAddr, path: &str, body: &Value) -> Result<Value> {
    let url = format!("http://{http}{path}");
    let response = client.post(&url).json(body).send().await?;
    let status = response.status();
    let text = response.text().await?;
    if !status.is_success() {
        return Err(format!("{url} answers {status}: {text}").into());
    }
    Ok(serde_json::from_str(&text)?)
}

fn text(answer: &Value, member: &str) -> Result<String> {
    match answer[member].as_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(format!("no {member} in {answer}").into()),
    }
}
