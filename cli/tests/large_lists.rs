//! Many large cards: lists stay whole, over separate processes too, and what is
//! small to send and huge to keep is refused.
#![allow(clippy::unwrap_used)]

use candor_testkit::agent::FakeAgent;
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::Binaries;
use candor_testkit::postgres::Postgres;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_large_cards_are_whole_over_separate_processes() {
    let postgres = Postgres::start_new().await.unwrap();
    let url = postgres.create_database().await.unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    binaries.migrate(&url).unwrap();
    let registry = binaries.registry(&url, &[]).await.unwrap();
    let gateway = binaries.gateway(registry.grpc(), &[]).await.unwrap();
    let mut client = Client::new(gateway.http());
    let mut ids = Vec::new();
    for number in 0..5 {
        let agent = FakeAgent::create(&mut client, &format!("large {number}"))
            .await
            .unwrap();
        let card = json!({"name": "x".repeat(900 * 1024)});
        let body = json!({"id": agent.id, "url": "http://localhost:1", "agent_card": card});
        let answer = client.send(Call::post("/registry/register", &body)).await;
        assert_eq!(answer.unwrap().status, 200);
        ids.push(agent.id);
    }
    let listed = client.send(Call::get("/workspaces")).await.unwrap();
    assert_eq!(listed.status, 200, "{:.200}", listed.text());
    let listed = listed.json();
    let found: Vec<&str> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|workspace| workspace["id"].as_str().unwrap())
        .collect();
    assert_eq!(found, ids);
    // Two when one is created, one when it registers.
    let events = client.send(Call::get("/events")).await.unwrap();
    assert_eq!(events.json().as_array().unwrap().len(), 15);

    let agent = FakeAgent::create(&mut client, "sparse").await.unwrap();
    let deep = format!("{}{}", "[".repeat(600), "]".repeat(600));
    for card in ["1e131000", "[1E+999999999]", deep.as_str()] {
        let body = format!(
            r#"{{"id":"{}","url":"http://localhost:1","agent_card":{card}}}"#,
            agent.id
        );
        let call = Call::new(http::Method::POST, "/registry/register").body(body);
        assert_eq!(client.send(call).await.unwrap().status, 400, "{card:.40}");
    }
}
