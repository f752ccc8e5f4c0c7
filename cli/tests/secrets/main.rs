//! Secrets, models and configuration documents on the real platform: who may see and
//! change them, what is refused, what is restarted, how keys change.
#![allow(clippy::unwrap_used)]

mod access;
mod documents;
mod limits;
mod rotation;

use candor_proto::provisioner::v1::provisioner_service_client::ProvisionerServiceClient;
use candor_testkit::http::{Answer, Call, Client};
use candor_testkit::platform::{Binaries, Platform};
use http::Method;
use serde_json::{Value, json};
use tonic::transport::Channel;

/// Stands nowhere but where it was stored.
const VALUE: &str = "hunter2-3f9a1c77";

fn binaries() -> Binaries {
    Binaries::beside(env!("CARGO_BIN_EXE_candor"))
}

async fn grpc(candor: &Platform) -> ProvisionerServiceClient<Channel> {
    ProvisionerServiceClient::new(candor.channel().await.unwrap())
}

/// A new workspace's id.
async fn created(client: &mut Client, name: &str) -> String {
    let call = Call::post("/workspaces", &json!({"name": name, "tier": 1}));
    let answer = client.send(call).await.unwrap();
    answer.json()["id"].as_str().unwrap().to_owned()
}

async fn send(client: &mut Client, method: Method, path: &str, body: &Value) -> Answer {
    let call = Call::new(method, path).json(body);
    client.send(call).await.unwrap()
}

/// Stores one; the answer in short.
async fn put(client: &mut Client, path: &str, key: &str, value: &str) -> (u16, String) {
    let body = json!({"key": key, "value": value});
    let answer = send(client, Method::PUT, path, &body).await;
    (answer.status, answer.text().to_string())
}

async fn get(client: &mut Client, path: &str) -> (u16, String) {
    let answer = client.send(Call::get(path)).await.unwrap();
    (answer.status, answer.text().to_string())
}

async fn delete(client: &mut Client, path: &str) -> (u16, String) {
    let call = Call::new(Method::DELETE, path);
    let answer = client.send(call).await.unwrap();
    (answer.status, answer.text().to_string())
}
